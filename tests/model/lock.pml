/*
 * The protocol of one Lock, for the model checker spin: three clients, all interleavings, a budget of faults.
 *
 * WHAT IT FOLLOWS. The server's steps are atomic, as Redis runs scripts, and are named and built after the scripts of
 * interlock/_protocol/lua: done, note_done and tick after attempt.lua; grant, drop, reap and advance after lock.lua; and after the
 * files of their names lock_acquire, lock_release, lock_abandon, lock_confirm and lock_beat (here in two, as a client
 * of the model either holds or waits: beat_waits, beat_holds). The client follows Session in interlock/_session.py: _wait
 * and _try, _enter, _leave, release, _on_grant, _beat.
 *
 * FAULTS, of any kinds and in any order, at most FAULTS in a run (2: every pair of faults, also twice the same):
 *   - a client crashes, alone (the server sees its connection end) or with its machine (the server sees nothing)
 *   - a client is stopped, and later goes on with what it knew: nobody renews its lease or confirms its grant meanwhile
 *   - a published grant is lost; a confirmation is lost; a connection that listens is cut, until it is made again
 *   - a reply is lost (of an acquire, a release, an abandon or a beat), and the client sends the same call again
 *   - a call is in the network a second time, and arrives at any later moment: before or after the first, after the
 *     attempt has ended, amid the client's next attempt, after its death
 *   - the lease or the claim of a client that does run ends, because it or its network was too slow
 * Free of charge: a waiter's time is over or a signal interrupts it (at any moment before it enters); the end of what
 * nobody renews; the silence of a session that does not ask.
 *
 * WHAT IS CHECKED (the numbers are those of the design's invariants; a run that breaks one prints it):
 *   1  Who enters, or has its lease renewed, is the only one whose lease runs by its own clock. A client that was stopped
 *      may go on believing; its writes are refused (4).
 *   2  Each token that enters is larger than the one before.
 *   4  What is written is written under the token of the running lease, and none larger has entered.
 *   6  A release or a repeat of it answers DONE if it has written, else LOST; no attempt holds twice, or both holds and
 *      queues; one that has ended holds and queues nothing, and is never granted anything again; a live one is never told
 *      that it has ended.
 *   8  As a step: when a live waiter's acquire or beat has run, somebody's lease or claim runs. As an end: when nothing
 *      can happen any more, each client has been served, has left, or is dead (`watch`). Together with the absence of runs
 *      without end, that is liveness. There are none since a beat that would change nothing is left out, and all else uses
 *      something up; built with -DNP instead of -DSAFETY, `./pan -l` looks for a cycle.
 *
 * SO THAT IT IS FINITE
 *   - A client makes at most two attempts, all together at most ATTEMPTS, each to wait or only to try.
 *   - Time has no length: a lease ends at any moment where it may. The end that a client reckons for its lease is the
 *     server's end; really it is a little earlier (`running` is the token of which that time is not over).
 *   - `tidy` renumbers tokens and arrivals after each step and keeps their order: nothing but the order is ever used.
 *   - Clients are alike, so the first to ask is called 0 and the next 1: other runs differ by names only.
 *
 * WHAT IS LEFT OUT
 *   - That an only holder is a field of the state, until another call asks (lock_acquire_alone, lock_release_alone): it is
 *     the same state, written otherwise. tests/interlock/test_alone.py compares all answers with those of the long way.
 *   - Semaphores with more permits, RWLock, Condition, RLock's count, lock_break; what is written (a write happens or
 *     not, GONE is never answered); the checks of kind and permits. Order of service (invariant 3), lengths of time (5).
 *   - Several threads of one process: each client is a session with one slot and one attempt at a time. So neither the
 *     neighbours of a doubtful session, nor an attempt that was given up without an answer and whose slot stays taken.
 *   - Expiry of idle keys and of notes (10 min), loss of memory by the server, steps of its clock, clocks that drift.
 *   - A beat and its reply are one step, apart from a late second copy, whose reply nobody hears. A confirmation runs as
 *     its grant is read, if it is not lost or late.
 *   - PUBLISH that counts 0 reaches nobody: true of one server. A node of a Redis Cluster counts its own listeners
 *     only; -DCOUNTS_ITS_NODE_ALONE shows what that would break.
 *
 * FOUND BY IT. Two guards that the scripts did not have; without them the model breaks invariant 6. Both need a late copy
 * of an acquire that arrives when the lease that it got has run out.
 *   -DLOST_LEAVES_IT    The copy grants or queues the attempt again. The release under the first token (or a beat)
 *                       answers LOST, notes that the attempt has ended, and leaves its new hold, or its place, where it
 *                       is: until that lease or claim is over, the lock is kept for nobody.
 *   -DBUSY_TO_A_RELEASE The copy, of one that only tries, finds another holder, and notes BUSY for an attempt that held.
 *                       The release reads this note and answers BUSY: its caller takes that for success, though nothing
 *                       was written.
 *
 * BY HAND, in an empty folder, with the model's path for lock.pml:
 *   spin -DTRIES -a lock.pml && gcc -O2 -DSAFETY -DNOREDUCE -DCOLLAPSE -o pan pan.c && ./pan -m10000
 * A twin, of which a guard is removed (see each #ifdef and #ifndef); -i looks for a short run, the last line shows it:
 *   spin -DWRITES_UNDER_ANY_TOKEN -a lock.pml && gcc -DSAFETY -DREACH -DNOREDUCE -o pan pan.c && ./pan -m10000 -i
 *   spin -DWRITES_UNDER_ANY_TOKEN -k lock.pml.trail -p -g lock.pml
 * A run that gets to a place: likewise with -DSTOP_AT=HAND_OVER, or another of the places below.
 */

#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 4
#endif

#define CLIENTS 3
#define EACH 2 /* attempts of one client */
#define IDS 6
#define COPIES 2

/* An attempt's id is its client's (session's) number and its own; all of a client's attempts are in one slot. */
#define ID(c) (c * EACH + number[c] - 1)
#define SESSION(id) (id / EACH)
#define NUMBER(id) (id % EACH + 1)
#define CURRENT(id) (id == ID(SESSION(id)))

/* answers */
#define NOTHING 0
#define BUSY 1
#define DONE 2
#define LOST 3
#define STALE 4
#define GRANTED 5
#define QUEUED 6

/* where a client is */
#define IDLE 0
#define ASKING 1    /* it sends an acquire */
#define GOT 2       /* the reply with its grant is on the way */
#define WAITING 3   /* it is queued, as far as it knows */
#define LEAVING 4   /* it sends an abandon */
#define HOLDING 5   /* it is in its section */
#define RELEASING 6 /* it sends its release, with what it wrote */
#define CRASHED 7

/* calls */
#define ACQUIRE 1
#define RELEASE 2
#define ABANDON 3
#define CONFIRM 4
#define BEAT_WAITS 5
#define BEAT_HOLDS 6

/* places that the model must get to: pan counts the steps that pass them */
#define HAND_OVER 0
#define GRANT_BY_BEAT 1
#define GRANT_PASSED_ON 2
#define PLACE_RESTORED 3
#define DEAF_PASSED_OVER 4
#define DEAD_PASSED_OVER 5
#define CLAIM_RAN_OUT 6
#define LEASE_RAN_OUT 7
#define LATE_GRANT_REFUSED 8
#define STALE_WRITE_REFUSED 9
#define REPEAT_ANSWERED 10
#define LATE_ACQUIRE_REFUSED 11
#define TRY_REFUSED 12
#define SURVIVORS_SERVED 13
#define PLACES 14

c_code {
  long passed[PLACES];
  const char *const places[PLACES] = {
    "hand-over", "grant by beat", "grant passed on", "place restored", "deaf passed over", "dead passed over",
    "claim ran out", "lease ran out", "late grant refused", "stale write refused", "repeat answered",
    "late acquire refused", "try refused", "survivors served"
  };
  void report(void) { for (int at = 0; at < PLACES; at++) printf("passed: %s: %ld\n", places[at], passed[at]); }
}

#ifdef STOP_AT
#define HERE(place) assert(place != STOP_AT)
#else
#define HERE(place) c_code { passed[place]++; }
#endif

#define INVARIANT(n, claim) \
  if \
  :: (claim) \
  :: else -> c_code { printf("broken: invariant %d\n", n); }; assert(false) \
  fi

/* The server. A hold is a token, whether it is only claimed, and whether its time is over. */
byte clock;
byte held[IDS];
bit claimed[IDS];
bit over[IDS];
byte queue[IDS]; /* an arrival, or 0 */
bit alive[CLIENTS];
byte last[CLIENTS]; /* the note of what was done: the number of the last attempt that ended, and how */
byte how[CLIENTS];

/* The clients. */
byte number[CLIENTS]; /* of the latest attempt; 0: none yet */
byte at[CLIENTS];
bit tries[CLIENTS];  /* its attempt does not wait */
byte token[CLIENTS];
byte arrival[CLIENTS];
byte running[CLIENTS]; /* the token of which the time is not over, by the clock of a client that looks at it */
bit paused[CLIENTS];

/* The network: the grant published to each client, whether its listener is cut off, and calls that come late. */
byte grant_sent[CLIENTS];
bit deaf[CLIENTS];
byte late_call[COPIES];
byte late_id[COPIES];
byte late_word[COPIES]; /* a token; for an acquire, whether it only tries */
byte late_arrival[COPIES];

/* Bounds, and what only the checks know. */
byte faults;
byte started;
byte entered; /* the token that entered last */
bit wrote[CLIENTS];
bit unanswered; /* the fate of the reply to the call that runs next */

/* For use within one step. */
hidden byte i, j, first, answer, result, heard;
hidden int used;

#define holders ((held[0] > 0) + (held[1] > 0) + (held[2] > 0) + (held[3] > 0) + (held[4] > 0) + (held[5] > 0))
#define any_over (over[0] || over[1] || over[2] || over[3] || over[4] || over[5])
#define RUNS(id) (held[id] > 0 && !over[id])
#define somebody_holds (RUNS(0) || RUNS(1) || RUNS(2) || RUNS(3) || RUNS(4) || RUNS(5))
#define queues(c) (queue[c * EACH] > 0 || queue[c * EACH + 1] > 0)

/* --- what every script begins with: lock.lua --- */

inline done(id) { /* to `answer` */
  answer = NOTHING;
#ifndef NOTHING_WAS_DONE_BEFORE
  if
  :: last[SESSION(id)] == NUMBER(id) -> answer = how[SESSION(id)]
  :: last[SESSION(id)] > NUMBER(id) -> answer = STALE
  :: else
  fi
#endif
}

inline note_done(id, what) {
  last[SESSION(id)] = NUMBER(id);
  how[SESSION(id)] = what;
  INVARIANT(6, held[id] == 0 && queue[id] == 0);
}

inline tick() {
#ifdef TOKENS_STAND_STILL
  clock = 1;
#else
  clock++;
#endif
}

inline grant(id, mark) {
  INVARIANT(6, held[id] == 0 && queue[id] == 0);
  INVARIANT(6, last[SESSION(id)] < NUMBER(id));
  tick();
  held[id] = clock;
  claimed[id] = mark;
  over[id] = 0;
}

inline drop(id) {
  held[id] = 0;
  claimed[id] = 0;
  over[id] = 0;
}

/* Not in the scripts: the time of a grant that its client will hear of begins to run. */
inline begins(id) {
  if
  :: CURRENT(id) -> running[SESSION(id)] = held[id]
  :: else
  fi
}

inline reap() {
#ifndef LEASES_NEVER_END
  for (i : 0 .. IDS - 1) {
    if
    :: over[i] && claimed[i] -> HERE(CLAIM_RAN_OUT); alive[SESSION(i)] = 0; drop(i)
    :: over[i] && !claimed[i] -> HERE(LEASE_RAN_OUT); drop(i)
    :: else
    fi
  }
#else
  skip
#endif
}

inline publish(id) { /* a message for an attempt that does not wait is read and dropped */
  begins(id);
  if
  :: CURRENT(id) && (at[SESSION(id)] == WAITING || at[SESSION(id)] == ASKING) -> grant_sent[SESSION(id)] = held[id]
  :: else
  fi
}

inline advance() {
  do
  :: holders > 0 -> break
  :: else ->
     first = IDS;
     for (i : 0 .. IDS - 1) {
       if
       :: queue[i] > 0 && first == IDS -> first = i
       :: queue[i] > 0 && first < IDS -> if :: queue[i] < queue[first] -> first = i :: else fi
       :: else
       fi
     }
     if
     :: first == IDS -> break
     :: else
     fi;
     queue[first] = 0;
     if
     :: !alive[SESSION(first)] -> HERE(DEAD_PASSED_OVER)
     :: alive[SESSION(first)] && !deaf[SESSION(first)] -> grant(first, 1); publish(first)
     :: alive[SESSION(first)] && deaf[SESSION(first)] ->
        grant(first, 1);
        HERE(DEAF_PASSED_OVER);
#ifdef COUNTS_ITS_NODE_ALONE
        publish(first);
#endif
        drop(first)
     fi
  od;
  first = 0
}

/* --- one script each --- */

/* lock_acquire.lua */
inline lock_acquire(id, only_try, earlier) {
  done(id);
  if
  :: answer == BUSY -> result = BUSY
  :: answer != NOTHING && answer != BUSY -> HERE(LATE_ACQUIRE_REFUSED); result = STALE
  :: else ->
     reap();
     if
     :: !only_try -> alive[SESSION(id)] = 1
     :: else
     fi;
     if
     :: earlier > 0 && held[id] == 0 && queue[id] == 0 -> HERE(PLACE_RESTORED); queue[id] = earlier
     :: else
     fi;
     advance();
     if
     :: held[id] > 0 -> claimed[id] = 0; over[id] = 0; result = GRANTED /* renew */
#ifdef GRANTS_THOUGH_HELD
     :: else -> queue[id] = 0; grant(id, 0); begins(id); result = GRANTED
#else
     :: held[id] == 0 && holders == 0 -> grant(id, 0); begins(id); result = GRANTED
     :: held[id] == 0 && holders > 0 && only_try -> HERE(TRY_REFUSED); note_done(id, BUSY); result = BUSY
     :: held[id] == 0 && holders > 0 && !only_try ->
        if
        :: queue[id] == 0 -> tick(); queue[id] = clock
        :: else
        fi;
        result = QUEUED
#endif
     fi;
     INVARIANT(8, somebody_holds)
  fi
}

/* lock_release.lua */
inline lock_release(id, with) {
  done(id);
  if
#ifndef BUSY_TO_A_RELEASE
  :: answer == BUSY -> result = LOST
  :: answer != NOTHING && answer != BUSY -> HERE(REPEAT_ANSWERED); result = answer
#else
  :: answer != NOTHING -> HERE(REPEAT_ANSWERED); result = answer
#endif
  :: else ->
     reap();
     if
#ifndef WRITES_UNDER_ANY_TOKEN
     :: held[id] != with ->
        HERE(STALE_WRITE_REFUSED);
#ifndef LOST_LEAVES_IT
        queue[id] = 0;
        drop(id);
#endif
        advance();
        note_done(id, LOST);
        result = LOST
#endif
     :: else ->
        INVARIANT(4, CURRENT(id) && held[id] == with && !over[id] && with >= entered);
        wrote[SESSION(id)] = 1;
        drop(id);
        advance();
        note_done(id, DONE);
        result = DONE
     fi
  fi
}

/* lock_abandon.lua */
inline lock_abandon(id) {
  reap();
  queue[id] = 0;
  if
  :: held[id] > 0 -> HERE(GRANT_PASSED_ON)
  :: else
  fi;
  drop(id);
  advance();
  done(id);
  if
  :: answer == NOTHING -> note_done(id, DONE)
  :: else
  fi
}

/* lock_confirm.lua */
inline lock_confirm(id, with) {
  reap();
  if
  :: held[id] == with -> claimed[id] = 0 /* renew */
  :: else -> advance()
  fi
}

/* lock_beat.lua, of a waiter: to `heard`, the token that it holds by now, or 0 */
inline beat_waits(id, earlier) {
  reap();
  alive[SESSION(id)] = 1;
  done(id);
#ifndef NEVER_ASKS_AGAIN
  if
  :: answer == NOTHING && held[id] == 0 && queue[id] == 0 -> HERE(PLACE_RESTORED); queue[id] = earlier
  :: else
  fi;
#endif
  advance();
#ifndef NEVER_ASKS_AGAIN
  if
  :: answer == NOTHING && held[id] == 0 && holders == 0 -> HERE(GRANT_BY_BEAT); grant(id, 1); begins(id)
  :: else
  fi;
#endif
  if
  :: answer == NOTHING -> INVARIANT(8, somebody_holds)
  :: else
  fi;
  heard = held[id]
}

/* lock_beat.lua, of a holder */
inline beat_holds(id, with) {
  reap();
  if
#ifndef RENEWS_WHAT_IS_LOST
  :: held[id] != with ->
     done(id);
     if
     :: answer == NOTHING ->
#ifndef LOST_LEAVES_IT
        queue[id] = 0;
        drop(id);
#endif
        note_done(id, LOST)
     :: else
     fi;
     result = LOST
#endif
  :: else -> held[id] = with; claimed[id] = 0; result = GRANTED /* renew */
  fi;
  advance()
}

/* After each step: forget what nobody will read, and renumber what is left from 1, in its order. */
#define USED(x) used = used | (1 << x)
#define RENUMBER(x) x = (x > j -> x - 1 : x)

inline tidy() {
  unanswered = 0;
  used = 0;
  for (i : 0 .. IDS - 1) { USED(held[i]); USED(queue[i]) }
  for (i : 0 .. CLIENTS - 1) {
    alive[i] = alive[i] && queues(i); /* read for the head of the queue only */
    USED(token[i]); USED(arrival[i]); USED(grant_sent[i]); USED(running[i])
  }
  for (i : 0 .. COPIES - 1) { USED(late_word[i]); USED(late_arrival[i]) }
  USED(entered);
  j = clock;
  do
  :: j == 0 -> break
  :: j > 0 && (used & (1 << j)) -> j--
  :: else ->
     for (i : 0 .. IDS - 1) { RENUMBER(held[i]); RENUMBER(queue[i]) }
     for (i : 0 .. CLIENTS - 1) {
       RENUMBER(token[i]); RENUMBER(arrival[i]); RENUMBER(grant_sent[i]); RENUMBER(running[i])
     }
     for (i : 0 .. COPIES - 1) {
       RENUMBER(late_arrival[i]);
       late_word[i] = (late_call[i] != ACQUIRE && late_word[i] > j -> late_word[i] - 1 : late_word[i])
     }
     RENUMBER(entered);
     clock--;
     j--
  od;
  answer = 0;
  result = 0
}

/* --- the clients --- */

#define fault_left (faults < FAULTS)
#define is(c, where) (!paused[c] && at[c] == where)

/* A reply arrives or, as a fault, does not. Its own step, because what follows must have no choice left. */
inline reply_or_none() {
  if
  :: unanswered = 0
  :: fault_left -> faults++; unanswered = 1
  fi
}

/* A call is in the network once more. Its client goes on to make the call. */
inline sends_late(call, id, word, earlier) {
  faults++;
  i = (late_call[0] == 0 -> 0 : 1);
  late_call[i] = call;
  late_id[i] = id;
  late_word[i] = word;
  late_arrival[i] = earlier
}

inline alone(c) {
  for (i : 0 .. CLIENTS - 1) { INVARIANT(1, i == c || at[i] != HOLDING || running[i] != token[i]) }
}

/* Session._enter, when the time is not over */
inline enter(c, with) {
  INVARIANT(2, with > entered);
  entered = with;
  token[c] = with;
  grant_sent[c] = 0;
  arrival[c] = 0;
  at[c] = HOLDING;
  alone(c)
}

inline leaves(c) {
  at[c] = LEAVING;
  token[c] = 0;
  arrival[c] = 0;
  grant_sent[c] = 0;
  running[c] = 0
}

/* The attempt has ended, and the server knows: the slot is free for the next. */
inline ends(c) {
  leaves(c);
  at[c] = IDLE;
  tries[c] = 0;
  wrote[c] = 0
}

/* A beat is left out where it would change nothing: so no run is without end. */
#define beat_of_waiter_tells(c) (any_over || !somebody_holds || (held[ID(c)] > 0 && grant_sent[c] != held[ID(c)]) || \
  (held[ID(c)] == 0 && (queue[ID(c)] == 0 || !alive[c])))
#define beat_of_holder_tells(c) (any_over || held[ID(c)] != token[c] || claimed[ID(c)])

/* Before any fault, one that asks need not leave: it would be as if it had not asked. */
#define leaving(c) (is(c, WAITING) || is(c, LEAVING) || (faults > 0 && (is(c, ASKING) || is(c, GOT))))

proctype client(byte c) {
end:
  do
  :: atomic {
       is(c, IDLE) && started < ATTEMPTS && number[c] < EACH && (c == 0 || number[c - 1] > 0) ->
       if
       :: tries[c] = 0
#ifdef TRIES
       :: tries[c] = 1
#endif
       fi;
       d_step { started++; number[c]++; at[c] = ASKING }
     }

  :: atomic {
       is(c, ASKING) -> reply_or_none();
       d_step {
         lock_acquire(ID(c), tries[c], arrival[c]);
         INVARIANT(6, result != STALE);
         if
         :: unanswered
         :: !unanswered && result == GRANTED -> at[c] = GOT; token[c] = held[ID(c)]
         :: !unanswered && result == QUEUED -> at[c] = WAITING; arrival[c] = queue[ID(c)]
         :: else -> ends(c)
         fi;
         tidy()
       }
     }
  :: d_step { is(c, ASKING) && fault_left -> sends_late(ACQUIRE, ID(c), tries[c], arrival[c]) }

  :: d_step {
       is(c, GOT) ->
       if
#ifndef ENTERS_LATE
       :: running[c] != token[c] -> HERE(LATE_GRANT_REFUSED); token[c] = 0; at[c] = ASKING
#endif
       :: else -> enter(c, token[c])
       fi;
       tidy()
     }

  :: atomic { /* the listener reads the grant, and confirms before the waiter runs */
       is(c, WAITING) && grant_sent[c] > 0 ->
       if
       :: d_step { heard = grant_sent[c]; lock_confirm(ID(c), heard); heard = 0 }
       :: d_step { fault_left -> faults++ }
       :: d_step { fault_left -> sends_late(CONFIRM, ID(c), grant_sent[c], 0) }
       fi;
       d_step {
         if
#ifndef ENTERS_LATE
         :: running[c] != grant_sent[c] -> HERE(LATE_GRANT_REFUSED); grant_sent[c] = 0; at[c] = ASKING
#endif
         :: else -> HERE(HAND_OVER); enter(c, grant_sent[c])
         fi;
         tidy()
       }
     }
  :: atomic {
       is(c, WAITING) && beat_of_waiter_tells(c) -> reply_or_none();
       d_step {
         beat_waits(ID(c), arrival[c]);
         if
         :: !unanswered && heard > 0 -> grant_sent[c] = heard /* a message with an older one would be refused */
         :: else
         fi;
         tidy()
       }
     }
  :: d_step { is(c, WAITING) && fault_left -> sends_late(BEAT_WAITS, ID(c), 0, arrival[c]) }

     /* its time is over; a signal interrupts it; its acquire got no answer */
  :: atomic {
       leaving(c) -> reply_or_none();
       d_step {
         lock_abandon(ID(c));
         if
         :: unanswered -> leaves(c)
         :: else -> ends(c)
         fi;
         tidy()
       }
     }
  :: d_step { leaving(c) && fault_left -> sends_late(ABANDON, ID(c), 0, 0); leaves(c); tidy() }

  :: atomic {
       is(c, HOLDING) && beat_of_holder_tells(c) -> reply_or_none();
       d_step {
         beat_holds(ID(c), token[c]);
         if
         :: unanswered
         :: !unanswered && result == LOST -> ends(c) /* its release will not even ask */
         :: else -> running[c] = token[c]; alone(c)
         fi;
         tidy()
       }
     }
  :: d_step { is(c, HOLDING) && fault_left -> sends_late(BEAT_HOLDS, ID(c), token[c], 0) }

  :: atomic {
       is(c, HOLDING) || is(c, RELEASING) -> reply_or_none();
       d_step {
         lock_release(ID(c), token[c]);
         INVARIANT(6, result == (wrote[c] -> DONE : LOST));
         if
         :: unanswered -> at[c] = RELEASING
         :: else -> ends(c)
         fi;
         tidy()
       }
     }
  :: d_step {
       (is(c, HOLDING) || is(c, RELEASING)) && fault_left ->
       sends_late(RELEASE, ID(c), token[c], 0);
       at[c] = RELEASING
     }

     /* faults of its process and of its connection */
  :: atomic {
       !paused[c] && at[c] != IDLE && at[c] != CRASHED && fault_left ->
       if
       :: deaf[c] = 0 /* its machine is gone: messages to it still count as delivered */
       :: deaf[c] = 1
       fi;
       d_step { faults++; ends(c); at[c] = CRASHED; tidy() }
     }
  :: d_step { !paused[c] && at[c] != IDLE && at[c] != CRASHED && fault_left -> faults++; paused[c] = 1 }
  :: d_step { paused[c] -> paused[c] = 0 }
  :: d_step { grant_sent[c] > 0 && fault_left -> faults++; grant_sent[c] = 0; tidy() }
  :: d_step {
       (at[c] == ASKING || at[c] == WAITING) && !deaf[c] && fault_left ->
       faults++;
       deaf[c] = 1;
       grant_sent[c] = 0;
       tidy()
     }
  :: d_step { deaf[c] && !paused[c] && at[c] != CRASHED -> deaf[c] = 0 }
  od
}

/* --- time and network --- */

/* Nobody will renew it, confirm it or give it back in time. */
#define unattended(id) (paused[SESSION(id)] || !CURRENT(id) || !( \
  at[SESSION(id)] == ASKING || at[SESSION(id)] == LEAVING || \
  (at[SESSION(id)] == WAITING && grant_sent[SESSION(id)] == held[id]) || \
  (at[SESSION(id)] != WAITING && token[SESSION(id)] == held[id])))

proctype lease(byte id) {
end:
  do
  :: d_step {
       held[id] > 0 && !over[id] && (unattended(id) || fault_left) ->
       if
       :: unattended(id)
       :: else -> faults++
       fi;
       over[id] = 1;
       if
       :: CURRENT(id) && running[SESSION(id)] == held[id] -> running[SESSION(id)] = 0
       :: else
       fi;
       tidy()
     }
  od
}

proctype silence(byte c) {
end:
  do
  :: d_step { alive[c] && (paused[c] || (at[c] != ASKING && at[c] != WAITING)) -> alive[c] = 0 }
  od
}

proctype network(byte n) { /* what is late arrives; its reply reaches nobody */
end:
  do
  :: d_step {
       late_call[n] > 0 ->
       if
       :: late_call[n] == ACQUIRE -> lock_acquire(late_id[n], late_word[n], late_arrival[n])
       :: late_call[n] == RELEASE -> lock_release(late_id[n], late_word[n])
       :: late_call[n] == ABANDON -> lock_abandon(late_id[n])
       :: late_call[n] == CONFIRM -> lock_confirm(late_id[n], late_word[n])
       :: late_call[n] == BEAT_WAITS -> beat_waits(late_id[n], late_arrival[n])
       :: late_call[n] == BEAT_HOLDS -> beat_holds(late_id[n], late_word[n])
       fi;
       late_call[n] = 0;
       late_id[n] = 0;
       late_word[n] = 0;
       late_arrival[n] = 0;
       tidy()
     }
  od
}

/* --- the end of every run --- */

#define at_rest(c) (at[c] == IDLE || at[c] == CRASHED)

proctype watch() {
end:
  do
  :: timeout -> INVARIANT(8, at_rest(0) && at_rest(1) && at_rest(2)); HERE(SURVIVORS_SERVED); break
  od
}

init {
  atomic {
    c_code { atexit(report); };
    run client(0); run client(1); run client(2);
    run lease(0); run lease(1); run lease(2); run lease(3); run lease(4); run lease(5);
    run silence(0); run silence(1); run silence(2);
    run network(0); run network(1);
    run watch()
  }
}
