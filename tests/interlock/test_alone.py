"""A lock that only one caller wants is noted in one field of its state, and every answer is the one of the long way.

Random calls go to two locks: to one by the scripts as they are, to the other by scripts without their short way. Among
the calls are late copies, calls under other tokens, and leases that end.
"""

import random
from collections import Counter
from importlib.resources import files

import pytest
from mutants import twins
from peers import wait_until

from interlock import Lock
from interlock._protocol import scripts

CALLS, ROUNDS = 80, 15
FOLDER = files("interlock._protocol") / "lua"
LONG = 60_000  # ms


def long_way(name):
    """The script without its short way."""
    return scripts.composed(FOLDER, ("attempt", "lock", "lock_spread", name)).text


def short_way(name):
    return scripts.script(name).text


class Side:
    """One of the two locks, the scripts that it is called by, and the tokens that its answers had."""

    def __init__(self, client, name, text_of):
        self.client, self.text_of = client, text_of
        self.state = f"interlock:{{{name}}}"
        self.keys = [self.state, f"{self.state}:holders", f"{self.state}:queue"]
        self.granted = [7]  # tokens, in order
        self.tokens = {}  # by id: the last token that it was granted

    def call(self, name, *argv):
        text = self.text_of(name)
        return self.client.eval(text, len(self.keys), *self.keys, "Lock", 1, "", *argv)

    def acquire(self, id, lease_ms, wait):
        reply = self.call("lock_acquire", id, lease_ms, wait, "", "")
        if reply[0] == scripts.GRANTED:
            self.granted.append(int(reply[1]))
            self.tokens[id] = self.granted[-1]
        return reply[0]

    def token(self, id, nth):
        """The id's own token, or one that anybody was granted lately."""
        return self.tokens.get(id, 7) if nth is None else self.granted[-1 - nth % len(self.granted)]

    def look(self):
        kind, permits, _, holders, waiters, _, counts = self.call("lock_look", "", 0)
        return kind, permits, holders[::3], waiters[::2], counts


class Attempts:
    """The attempts so far, of two sessions with two slots each."""

    def __init__(self, chance):
        self.chance, self.all, self.newest = chance, ["a/0/0 somebody"], Counter()

    def new(self, slot=None):
        """One that no call has named."""
        slot = slot or f"{self.chance.choice('ab')}/{self.chance.randrange(2)}"
        self.newest[slot] += 1
        return f"{slot}/{self.newest[slot]} somebody"

    def to_acquire(self):
        if self.chance.random() < 0.4:
            return self.chance.choice(self.all[-4:])
        self.all.append(self.new())
        return self.all[-1]

    def to_end(self, holders):
        """Mostly the one that holds."""
        return holders[0] if holders and self.chance.random() < 0.7 else self.chance.choice(self.all[-4:])


def random_call(chance, sides, attempts):
    """Send one call to both locks; return what it was, and the two answers."""
    what = chance.choice(["acquire"] * 8 + ["release"] * 8 + ["abandon", "confirm", "beat", "break", "look", "over"])
    if what == "acquire":
        id, wait = attempts.to_acquire(), int(chance.random() < 0.3)
        return (what, id, wait), [side.acquire(id, LONG, wait) for side in sides]
    if what == "break":
        call = attempts.new("a/9")
        return (what, call), [side.call("lock_break", call)[0] for side in sides]
    if what == "over":  # a lease that ends at once
        id = attempts.to_acquire()
        answers = [side.acquire(id, 1, 0) for side in sides]
        wait_until(lambda: all(over(side) for side in sides), what="the end of the lease")
        return (what, id), answers
    id, nth = attempts.to_end(sides[1].look()[2]), chance.choice([None, None, 0, 0, 1])
    if what == "release":
        return (what, id, nth), [side.call("lock_release", id, side.token(id, nth), 0)[0] for side in sides]
    if what == "abandon":
        return (what, id), [side.call("lock_abandon", id, "")[0] for side in sides]
    if what == "confirm":
        return (what, id), [side.call("lock_confirm", id, side.token(id, nth), LONG)[0] for side in sides]
    if what == "beat":
        answers = [side.call("lock_beat", 1, id, side.token(id, nth), LONG) for side in sides]
        return (what, id), [[each[2][0] > 0, each[4]] for each in answers]
    return (what,), [side.look() for side in sides]


def over(side):
    """Whether no lease of a millisecond lasts any more."""
    _, _, now, holders, *_ = side.call("lock_look", "", 0)
    return all(float(ends) - int(now) > 1000 for ends in holders[2::3])


def go_on_alike(client, seed, twin=None):
    """Send the calls of that seed; fail where the two locks answer differently."""
    chance = random.Random(seed)
    names = [f"alike {seed} {way}" for way in ("short", "long")]
    true = twins.broken(twin)
    sides = [Side(client, names[0], lambda name: true(name).text), Side(client, names[1], long_way)]
    done, attempts = [], Attempts(chance)
    for _ in range(CALLS):
        call, answers = random_call(chance, sides, attempts)
        done.append((call, *answers))
        assert answers[0] == answers[1], done
        looks = [side.look() for side in sides]
        assert looks[0] == looks[1], (looks, done)
    for side in sides:
        assert side.granted == sorted(side.granted), done  # a token that is granted again is the newest


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_short_way_answers_as_the_long_way(client, seed):
    go_on_alike(client, seed)


@pytest.mark.parametrize("twin", sorted(name for name in twins.TWINS if name.startswith("alone_")))
def test_broken_twin_of_the_short_way_answers_differently(client, twin):
    def all_alike():
        for seed in range(ROUNDS):
            client.flushdb()
            go_on_alike(client, seed, twin)

    with pytest.raises(AssertionError):
        all_alike()


def test_lock_that_nobody_else_wants_is_one_field(client):
    lock = Lock(name="alone", linger=0)
    state = "interlock:{alone}"
    lock.acquire()  # the first one makes the state
    lock.release()
    for _ in range(3):
        lock.acquire()
        assert client.hget(state, "one").startswith(f"{lock.token} ")
        assert not client.exists(f"{state}:holders", f"{state}:queue")
        assert lock.locked()
        lock.release()
        assert client.hget(state, "one") is None


def test_cycle_of_a_lock_that_nobody_else_wants_makes_few_calls(client):
    """Ten commands inside two scripts, where the long way makes 17."""
    lock = Lock(name="few calls", linger=0)
    for _ in range(3):
        lock.acquire()
        lock.release()
    client.config_resetstat()
    for _ in range(100):
        lock.acquire()
        lock.release()
    calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert calls.pop("cmdstat_evalsha") < 210
    assert sum(calls.values()) < 100 * 10 + 60  # and a heartbeat
