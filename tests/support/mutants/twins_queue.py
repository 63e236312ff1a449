"""Broken twins of the queues' scripts, as `twins` has them for the locks."""

EVERY = ("queue_put", "queue_get", "queue_leave", "queue_done", "queue_join", "queue_close")
LONG_CLAIM = ("local CLAIM_MS = 1000", "local CLAIM_MS = 60000")  # so that it is the guard that bounds the damage
TWINS = {
    # name: (scripts, [(what stands there, what the twin has)])
    "queue_without_bound": (
        ["queue_put"],
        [("if maxsize == 0 or before < maxsize - size() then", "if true then")],
    ),
    "queue_last_come_first_served": (
        EVERY,
        [("redis.call('ZADD', queue, arrival, id)", "redis.call('ZADD', queue, -arrival, id)")],
    ),
    "queue_nothing_was_done_before": (EVERY, [("if not note then return nil end", "if true then return nil end")]),
    "queue_peeks_instead_of_taking": (
        ["queue_get"],
        [("redis.call('LPOP', items)", "redis.call('LINDEX', items, 0)")],
    ),
    "queue_newest_first": (["queue_get"], [("redis.call('LPOP', items)", "redis.call('RPOP', items)")]),
    "queue_newcomers_go_ahead": (
        EVERY,
        [("return redis.call('ZCARD', queue), false", "return 0, false")],
    ),
    "queue_the_deaf_are_served": (EVERY, [LONG_CLAIM, ("if wake(id) > 0 then return end", "wake(id) do return end")]),
    "queue_waits_for_the_dead": (
        EVERY,
        [LONG_CLAIM, ("if not id then return end\n    leave", "if true then return end\n    leave")],
    ),
    "queue_wakes_nobody": (
        EVERY,
        [("local function wake(id) return", "local function wake(id) do return 1 end return")],
    ),
    "queue_joiners_ask_again": (["queue_done"], [("note_done(each, DONE)", "")]),
    "queue_work_is_never_done": (["queue_done"], [("'unfinished', -1)", "'unfinished', 0)")]),
    "queue_pickles_for_all": (["queue_get"], [("if not pickles and", "if false and")]),
    "queue_keeps_what_is_empty": (
        EVERY,
        [("if holds and ARGV[3] == '' then", "if ARGV[3] == '' then")],
    ),
}  # fmt: skip
