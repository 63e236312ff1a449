"""Broken twins: scripts of the protocol with one guard removed. A check of safety must fail on its twin."""

from contextlib import contextmanager
from hashlib import sha1

from interlock._protocol import scripts
from mutants import twins_queue
from mutants.twins_signals import SIGNALS

TRUE = scripts.script
EVERY = (
    "lock_acquire", "lock_release", "lock_abandon", "lock_confirm", "lock_beat", "semaphore_release",
    "condition_wait", "condition_notify", "condition_leave",
)  # fmt: skip
LONG_CLAIM = ("local CLAIM_MS = 1000", "local CLAIM_MS = 60000")  # so that it is the guard that bounds the damage
TWINS = {
    # name: (scripts, [(what stands there, what the twin has)])
    "grants_though_held": (
        ["lock_acquire"],
        [("elseif nobody_waits and fits(id) then", "else")],
    ),
    "one_permit_too_many": (
        ["lock_acquire"],
        [("permits > 1 and redis.call('ZCARD', holders) < permits", "redis.call('ZCARD', holders) <= permits")],
    ),
    "last_come_first_served": (
        ["lock_acquire"],
        [("enqueue(id, arrival)\nend\nnote_alive()", "enqueue(id, -arrival)\nend\nnote_alive()")],
    ),
    "tokens_stand_still": (EVERY, [("clock = math.max(clock + 1, now_us)", "clock = 1")]),
    "tokens_from_a_counter_alone": (EVERY, [("clock = math.max(clock + 1, now_us)", "clock = clock + 1")]),
    "writes_under_any_token": (["lock_release"], [("if held(id) ~= token then", "if false then")]),
    "leases_never_end": (EVERY, [("ends > now then return end", "true then return end")]),
    "the_dead_are_served": (
        EVERY,
        [LONG_CLAIM, ("redis.call('EXISTS', alive_key(session)) == 1", "true")],
    ),
    "nobody_is_deaf": (EVERY, [LONG_CLAIM, ("waiting, values) == 0 then", "waiting, values) < 0 then")]),
    "claims_cost_a_lease": (EVERY, [LONG_CLAIM]),
    "nothing_was_done_before": (EVERY, [("if not note then return nil end", "if true then return nil end")]),
    "never_asks_again": (
        ["lock_beat"],
        [
            ("redis.call('ZADD', waits_in, 'NX', arrival, id)", "redis.call('PING')"),
            ("nobody_waits and not ended and fits(id) and not held(id) then", "false then"),
        ],
    ),
    "notifications_die_with_the_dead": (EVERY, [("redis.call('HDEL', state, 'n:' .. id)\n    notify(name)", "")]),
    "silent_waiters_wait_again": (
        ["lock_beat"],
        [("if condition ~= '' and not redis.call('ZSCORE', waits_in, id) then", "if false then")],
    ),
    "wakes_in_any_order": (EVERY, [("redis.call('ZPOPMIN', waiters)[1]", "redis.call('ZPOPMAX', waiters)[1]")]),
    "readers_beside_a_writer": (
        EVERY,
        [("not writes(id) and not writes(holder)", "not writes(id)")],
    ),
    "readers_pass_waiting_writers": (
        ["lock_acquire"],
        [("elseif nobody_waits and fits(id) then", "elseif fits(id) then")],
    ),
    "what_is_lost_is_left": (
        EVERY,
        [("  redis.call('ZREM', queue, id)\n  drop(id)\n  note_done(id, LOST)", "  note_done(id, LOST)")],
    ),
    "breaks_claims_too": (["lock_break"], [("if not claimed then", "if true then")]),
    "busy_to_a_release": (["lock_release"], [("if answer == BUSY then answer = LOST end", "")]),
    "stores_what_is_left": (
        ["lock_release"],
        [
            ("if type(text) ~= 'string' then return GONE end", "if type(text) ~= 'string' then text = '' end"),
            ("~= 'hash' then return GONE end", "== nil then return GONE end"),
        ],
    ),
    "overwrites_what_was_added": (["lock_release", "lock_commit"], [("if added[i] then", "if false then")]),
    "adds_what_the_holder_has_seen": (["lock_add"], [("if by ~= token then", "if false then")]),
    "forgets_that_it_added": (["lock_add"], [("if answer then return {answer} end", "")]),
    "stores_the_last_alone": (
        ["lock_release"],
        [("for i = 4, #KEYS do\n    local encoded", "for i = math.max(4, #KEYS), #KEYS do\n    local encoded")],
    ),
    "renews_what_is_lost": (
        ["lock_beat"],
        [
            (
                "if current == token then\n    renew(id, token, claimed, lease_ms)",
                "if true then\n    renew(id, token, true, lease_ms)",
            )
        ],
    ),
    "queues_who_gave_up": (["condition_wait"], [("if done(again) then return {STALE} end", "")]),
    "doubts_the_caller": (
        EVERY,
        [("if session_of(id) ~= heard then", "if true then"), ("session == heard or ", "")],
    ),
    "ended_claims_are_forgotten": (
        ["lock_acquire", "lock_beat", "lock_abandon"],
        [("ended == ENDED", "false")],
    ),
    "claims_end_first": (["semaphore_release"], [("if not claimed then return id end", "if true then return id end")]),
    "keys_expire_in_use": (EVERY, [("now - kept >= KEEP_MS", "not kind")]),
    "long_leases_outlive_their_keys": (EVERY, [("ms > IDLE_MS - KEEP_MS", "false")]),
    "notes_expire_in_use": (EVERY, [("now - stored[2] < DONE_MS", "true")]),
    "shows_what_has_ended": (
        ["lock_look"],
        [("if alive(id) then ids[", "if true then ids["), ("tonumber(found[i + 1]) > now", "true")],
    ),
    "alone_though_others_wait": (["lock_acquire"], [("and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0", "")]),
    "alone_though_another_holds": (["lock_acquire"], [(" and not stored[6] and mode", " and mode")]),
    "alone_though_it_has_ended": (["lock_acquire"], [(" and not done(id)\n  then", "\n  then")]),
    "alone_under_any_token": (["lock_release"], [("if token == ARGV[5] and id == ARGV[4]", "if id == ARGV[4]")]),
    "alone_for_anybody": (["lock_release"], [("if token == ARGV[5] and id == ARGV[4]", "if token == ARGV[5]")]),
    "alone_after_its_end": (["lock_release"], [("and tonumber(ends) > now and not", "and not")]),
    "alone_is_not_noted": (["lock_release"], [("'one')\n    note_done(id, DONE)", "'one')")]),
    "alone_is_not_seen_by_others": (EVERY, [("if stored[7] then\n", "if false then\n")]),
    "alone_is_not_shown": (["lock_look"], [("if token and tonumber(ends) > now then leases", "if false then leases")]),
    "trusts_the_count": (EVERY, [("string.sub(session, -1) == 'C' and 1 or heard", "heard")]),
    "commits_in_any_order": (["lock_commit"], [("if number <= tonumber(", "if 0 > tonumber(")]),
    "commits_under_any_token": (["lock_commit"], [("if held(id) ~= token then return {LOST} end", "")]),
    "stores_the_last_alone_in_a_commit": (
        ["lock_commit"],
        [("for i = 4, #KEYS do\n    local encoded", "for i = math.max(4, #KEYS), #KEYS do\n    local encoded")],
    ),
    **SIGNALS,
    **twins_queue.TWINS,
}


def broken(name):
    """Scripts by name as the twin has them; with None, the true ones."""
    if name is None:
        return TRUE
    files, changes = TWINS[name]

    def script(which):
        text = TRUE(which).text
        if which in files:
            for guard, nothing in changes:
                assert guard in text, f"the twin {name} names a guard that {which} does not have"
                text = text.replace(guard, nothing)
        return scripts.Script(text, sha1(text.encode()).hexdigest())

    return script


def break_it(name):
    """Replace the scripts of this process by the twin's, for good."""
    if name is not None:
        scripts.script = broken(name)


@contextmanager
def in_force(name):
    """Replace the scripts of this process by the twin's, for a while."""
    real = scripts.script
    scripts.script = broken(name)
    try:
        yield
    finally:
        scripts.script = real
