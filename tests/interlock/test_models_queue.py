"""Queue and JoinableQueue against a model: a list of items, a count of unfinished ones, and two queues of waiters."""

import queue
from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from parties import Machine, anyone, marks, run, same

import interlock

KINDS = (interlock.Queue, interlock.JoinableQueue)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(PLAIN, lambda some: st.lists(some) | st.dictionaries(st.text(), some), max_leaves=8)
ITEMS = JSON | st.binary()


class Items(Machine):
    """Items go to who asked first, in the order in which they were put; who waits for room comes in order too."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.rounds = kind, 0

    @initialize(maxsize=st.integers(0, 3))
    def make(self, maxsize):
        self.maxsize = maxsize
        self.look = self.kind(maxsize, client=self.parties[0].client)
        self.things = {party: self._made(party) for party in self.parties}
        self.items, self.unfinished = [], 0
        self.getters, self.putters, self.joiners = [], [], []  # of the putters, each with its item

    def _made(self, party):
        return self.kind(self.maxsize, name=self.look.name, client=party.client, ttl=60)

    @property
    def full(self):
        return 0 < self.maxsize <= len(self.items)

    def seat(self, item):
        """What an item does that comes in: it is taken at once if somebody waits for one."""
        self.items.append(item)
        self.unfinished += self.kind is interlock.JoinableQueue
        if self.getters:
            assert same(self.getters.pop(0).answer(), self.items.pop(0))

    def taken(self):
        """The oldest item, that goes out: the first who waits for room puts its own."""
        item = self.items.pop(0)
        if self.putters:
            first, its = self.putters.pop(0)
            assert first.answer() is None
            self.seat(its)
        return item

    @precondition(lambda self: len(self.idle()) > 1)
    @rule(party=anyone, item=ITEMS)
    def put(self, party, item):
        party.begin(lambda: self.things[party].put(item))
        if not self.full:
            assert party.answer() is None
            self.seat(item)
        else:
            self.putters.append((party, item))
            self.waits(party, lambda: len(self.look.statistics().putters) == len(self.putters))

    @precondition(lambda self: len(self.idle()) > 1)
    @rule(party=anyone)
    def get(self, party):
        party.begin(self.things[party].get)
        if self.items:
            got = party.answer()
            assert same(got, self.taken())
        else:
            self.getters.append(party)
            self.waits(party, lambda: len(self.look.statistics().getters) == len(self.getters))

    @rule(party=anyone, item=ITEMS, within=st.sampled_from([None, 0, 0.002]))
    def put_now_or_within_a_moment(self, party, item, within):
        """None: `put_nowait`. Who waits in vain stands in nobody's way afterwards."""
        things = self.things[party]
        put = things.put_nowait if within is None else lambda item: things.put(item, timeout=within)
        if self.full:
            assert party.ask(lambda: put(item)) is queue.Full
        else:
            assert party.ask(lambda: put(item)) is None
            self.seat(item)

    @rule(party=anyone, within=st.sampled_from([None, 0, 0.002]))
    def get_now_or_within_a_moment(self, party, within):
        things = self.things[party]
        got = party.ask(things.get_nowait if within is None else lambda: things.get(timeout=within))
        if self.items:
            assert same(got, self.taken())
        else:
            assert got is queue.Empty

    @precondition(lambda self: self.getters)
    @rule(party=anyone, item=ITEMS)
    def put_and_try_to_get_it_back(self, party, item):
        """What comes while somebody waits for it is not for those who ask later."""
        things = self.things[party]
        assert party.ask(lambda: (things.put(item), _outcome(things.get_nowait))) == (None, queue.Empty)
        self.seat(item)

    @precondition(lambda self: self.putters)
    @rule(party=anyone, item=ITEMS)
    def get_and_try_to_put_another(self, party, item):
        """Nor is room for which somebody waits."""
        things = self.things[party]
        got, refused = party.ask(lambda: (things.get(), _outcome(lambda: things.put_nowait(item))))
        assert refused is queue.Full
        assert same(got, self.taken())

    @rule(party=anyone)
    def close(self, party):
        """Nobody puts or gets through that object any more; others, and who waits already, are not touched."""
        self.things[party].close()
        for call in (self.things[party].get, self.things[party].get_nowait, lambda: self.things[party].put(1)):
            assert party.ask(call) is ValueError
        self.things[party] = self._made(party)

    @precondition(lambda self: self.kind is interlock.JoinableQueue)
    @rule(party=anyone)
    def task_done(self, party):
        answer = party.ask(self.things[party].task_done)
        if not self.unfinished:
            assert answer is ValueError
            return
        assert answer is None
        self.unfinished -= 1
        while self.joiners and not self.unfinished:
            assert self.joiners.pop().answer() is None

    @precondition(lambda self: self.kind is interlock.JoinableQueue and len(self.idle()) > 1)
    @rule(party=anyone)
    def join(self, party):
        party.begin(self.things[party].join)
        if self.unfinished:
            self.joiners.append(party)
        else:
            assert party.answer() is None

    @invariant()
    def statistics_say_what_the_model_says(self):
        seen = self.look.statistics()
        assert marks(seen.getters) == [party.mark for party in self.getters]
        assert marks(seen.putters) == [party.mark for party, _ in self.putters]
        assert (seen.size, seen.maxsize, seen.unfinished) == (len(self.items), self.maxsize, self.unfinished)
        assert (self.look.qsize(), self.look.empty()) == (len(self.items), not self.items)
        assert self.look.full() == self.full

    def let_go(self):
        self.rounds += 1
        if self.rounds % 100 == 0:  # a broken queue may have no room, whatever is taken
            self.unlink()
        seen = self.look.statistics()
        with suppress(queue.Empty, queue.Full, ValueError):
            if seen.getters:
                self.look.put_nowait(None)
            elif seen.putters:
                self.look.get_nowait()
            elif self.joiners:
                self.look.task_done()

    def unlink(self):
        self.look.unlink()


def _outcome(call):
    """What a call returned, or the type of what it raised."""
    try:
        return call()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("kind", KINDS)
def test_items_arrive_once_as_they_were_in_order_and_at_who_asked_first(kind):
    """Whatever five parties do, in any order."""
    run(Items, kind)


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        (interlock.Queue, "queue_without_bound"),
        (interlock.Queue, "queue_last_come_first_served"),
        (interlock.Queue, "queue_newcomers_go_ahead"),
        (interlock.Queue, "queue_peeks_instead_of_taking"),
        (interlock.Queue, "queue_newest_first"),
        (interlock.JoinableQueue, "queue_work_is_never_done"),
    ],
)
def test_steps_are_found_that_show_a_broken_queue(kind, twin):
    """The test above fails for each of these."""
    run(Items, kind, twin=twin)
