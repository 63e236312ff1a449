/*
 * The life of one message, for the model checker spin: two consumers, all interleavings, a budget of faults.
 *
 * WHAT IT FOLLOWS. Each step is one script of tasks/transport/lua, which Redis runs as a whole, or one thing that a consumer
 * does by itself: take.lua, settle.lua (ack), give_back.lua, renew.lua, sweep.lua (it returns what is overdue, and moves
 * what is due), replay.lua. A token is made by each take.
 *
 * FAULTS, of any kinds and in any order, at most FAULTS in a run:
 *   - a consumer is killed; another one starts in its place
 *   - a consumer is stopped, and its deadline passes; it goes on later with what it knew
 *   - the reply of a take is lost: nobody knows of the delivery
 *   - an acknowledgement stays in the network, and arrives at any later moment, also a second time
 *
 * WHAT IS CHECKED (a run that breaks one prints it):
 *   1  The message is in one place at each moment: delayed, queued, delivered, acknowledged or dead.
 *   2  An acknowledgement settles the delivery that it names, and no other.
 *   3  What has no delivery has no deadline: a renewal brings nothing back to life.
 *   4  A delivery that was renewed is not returned before its deadline has passed again.
 *   5  It is delivered DELIVERIES times at most, plus once for each time that it was given back or replayed.
 *   6  When nothing can happen any more, the message is acknowledged, or dead and replayed as often as REPLAYS allows.
 *
 * WHAT IS LEFT OUT. Lengths of time; several messages, and the order of a queue; that a full or absent server refuses
 * (no step happens then); the bounds of the dead letters.
 */

#ifndef FAULTS
#define FAULTS 3
#endif
#define CONSUMERS 2
#define DELIVERIES 2
#define REPLAYS 1
#define GIVES_BACK 1

#define broken(number) { c_code { printf("broken: invariant %d\n", number); fflush(stdout); }; assert(false) }

bool delayed = true, queued, acknowledged, dead;
byte delivery;          /* the token of the delivery; 0: there is none */
byte deadline;          /* the token that has a deadline; 0: none */
bool overdue;           /* the deadline has passed */
byte looked;            /* the sweep of a twin has seen this token overdue */
byte tokens, returns, replays, gives, faults;
byte taking;            /* the consumer of a twin that has taken the message and not noted it */
byte has[CONSUMERS];    /* the token that a consumer knows that it has */
bool ran[CONSUMERS];    /* its task has ended */
bool stopped[CONSUMERS];
byte late[CONSUMERS];   /* the token of an acknowledgement that is in the network */
byte last_renewed;      /* the token that was renewed since its deadline passed last */

inline check() {
	if
	:: delayed + queued + acknowledged + dead + (delivery != 0) != 1 -> broken(1)
	:: else
	fi;
	if
	:: deadline != 0 && deadline != delivery -> broken(3)
	:: else
	fi;
	if
	:: tokens > (DELIVERIES) * (1 + replays) + gives -> broken(5)
	:: else
	fi
}

inline note(who) {
	tokens++; delivery = tokens; deadline = tokens; overdue = false; last_renewed = 0;
	if
	:: has[who] = tokens; ran[who] = false
	:: faults < FAULTS -> faults++ /* the reply is lost */
	fi
}

inline take(who) {
	queued = false;
#ifdef NOTES_LATER
	taking = who + 1
#else
	note(who)
#endif
}

inline settle(token) {
	if
#ifdef ACKNOWLEDGES_ANY_DELIVERY
	:: delivery != 0 ->
#else
	:: delivery != 0 && delivery == token ->
#endif
		if
		:: delivery != token -> broken(2)
		:: else
		fi;
		delivery = 0; deadline = 0; acknowledged = true; returns = 0
	:: else
	fi
}

inline give_back(who) {
	if
	:: delivery == has[who] -> delivery = 0; deadline = 0; queued = true; gives++
	:: else
	fi;
	has[who] = 0
}

inline renew(who) {
	if
#ifdef RENEWS_WHAT_IS_GONE
	:: true ->
#else
	:: deadline == has[who] ->
#endif
		deadline = has[who];
		if
		:: overdue && deadline == delivery -> overdue = false; last_renewed = has[who]
		:: else
		fi
	:: else -> has[who] = 0
	fi
}

inline restore() {
	if
	:: delivery == last_renewed && !overdue -> broken(4)
	:: else
	fi;
#ifndef COUNTS_NOTHING
	returns++;
#endif
	delivery = 0; deadline = 0; overdue = false;
	if
	:: returns >= DELIVERIES -> dead = true; returns = 0
	:: else -> queued = true
	fi
}

active proctype world() {
	byte who;
	do
	:: atomic { delayed -> delayed = false; queued = true; check() }
	:: atomic { delivery != 0 && deadline == delivery && !overdue && faults < FAULTS ->
		/* its consumer is stopped, dead or too slow */
		faults++; overdue = true; last_renewed = 0; check() }
	:: atomic { delivery != 0 && !overdue && has[0] != delivery && has[1] != delivery ->
		/* nobody knows of it: it is never renewed */
		overdue = true; last_renewed = 0; check() }
#ifdef RETURNS_WHAT_IT_SAW
	:: atomic { delivery != 0 && overdue && looked == 0 -> looked = delivery }
	:: atomic { looked != 0 ->
		if
		:: looked == delivery -> restore()
		:: else
		fi;
		looked = 0; check() }
#else
#ifndef NEVER_SWEEPS
	:: atomic { delivery != 0 && overdue -> restore(); check() }
#endif
#endif
	:: atomic { dead && replays < REPLAYS -> replays++; dead = false; queued = true; check() }
	:: atomic { taking != 0 -> who = taking - 1; taking = 0; note(who); check() }
	:: atomic { taking != 0 && faults < FAULTS -> faults++; taking = 0; check() } /* killed in between */
	:: atomic { late[0] != 0 -> settle(late[0]); late[0] = 0; check() }
	:: atomic { late[1] != 0 -> settle(late[1]); late[1] = 0; check() }
	:: atomic {
		select(who : 0 .. CONSUMERS - 1);
		if
		:: queued && !stopped[who] && has[who] == 0 && tokens < 20 -> take(who)
		:: has[who] != 0 && !stopped[who] && !ran[who] -> ran[who] = true
		:: has[who] != 0 && !stopped[who] && ran[who] -> settle(has[who]); has[who] = 0
		:: has[who] != 0 && !stopped[who] && ran[who] && late[who] == 0 && faults < FAULTS ->
			faults++; late[who] = has[who]; settle(has[who]); has[who] = 0 /* and once more, later */
		:: has[who] != 0 && !stopped[who] && ran[who] && late[who] == 0 && faults < FAULTS ->
			faults++; late[who] = has[who]; has[who] = 0 /* later only */
		:: has[who] != 0 && !stopped[who] && !ran[who] && gives < GIVES_BACK -> give_back(who)
		:: has[who] != 0 && !stopped[who] && (overdue || deadline != has[who]) -> renew(who)
		:: has[who] != 0 && faults < FAULTS -> faults++; has[who] = 0; stopped[who] = false /* killed */
		:: !stopped[who] && faults < FAULTS -> faults++; stopped[who] = true
		:: stopped[who] -> stopped[who] = false
		:: else -> goto quiet
		fi;
		check()
	   }
	quiet: skip
	:: atomic { !delayed && !queued && taking == 0 && delivery == 0 && late[0] == 0 && late[1] == 0 &&
			(acknowledged || (dead && replays == REPLAYS)) -> break }
	:: atomic { !delayed && !queued && taking == 0 && late[0] == 0 && late[1] == 0 && looked == 0 &&
			!(dead && replays < REPLAYS) && !acknowledged && !dead &&
			(has[0] == 0 || stopped[0]) && (has[1] == 0 || stopped[1]) && !stopped[0] && !stopped[1] &&
#ifdef NEVER_SWEEPS
			(overdue || delivery == 0)
#else
			delivery == 0
#endif
			-> broken(6) }
	od
}
