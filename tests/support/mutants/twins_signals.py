"""Broken twins of the scripts behind Event and Barrier, each with one guard removed; as in twins.py."""

SIGNALS = {
    # name: (scripts, [(what stands there, what the twin has)])
    "former_sets_are_forgotten": (["event_wait"], [("tonumber(last) > since", "false")]),
    "no_signal_was_sent_before": (
        ["event_set", "event_clear", "event_wait", "barrier_call"],
        [("if not note then return nil end", "if true then return nil end")],
    ),
    "arrivals_count_twice": (["barrier_call"], [("if not index then", "if true then")]),
    "rounds_run_into_each_other": (
        ["barrier_call"],
        [
            ("redis.call('DEL', state, waiters)", "redis.call('PING')"),
            ("if count >= parties then return {QUEUED, 0} end", ""),
        ],
    ),
    "silence_is_not_noticed": (["barrier_call"], [("elseif now - doubt > ALIVE_MS then", "elseif false then")]),
    "an_outage_is_a_death": (["barrier_call"], [("doubt < newest then", "false then")]),
    "opens_without_the_silent": (["barrier_call"], [("not runner and not silent()", "not runner")]),
    "opens_before_the_action": (["barrier_call"], [("if not actor then", "if true then")]),
}
