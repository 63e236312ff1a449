"""Semaphore and BoundedSemaphore against a model: two counts and a queue of waiters."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from parties import Machine, anyone, marks, run

import interlock

KINDS = (interlock.Semaphore, interlock.BoundedSemaphore)


class Permits(Machine):
    """Who holds is anonymous to a release: the model counts permits, and names only who waits."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    @initialize(value=st.integers(0, 3))
    def make(self, value):
        if self.kind is interlock.BoundedSemaphore:
            value += 1  # with none, who waits would never come back
        first = self.kind(value, client=self.parties[0].client)
        self.slots = {party: self.kind(value, name=first.name, client=party.client, ttl=60) for party in self.parties}
        self.look = first
        self.permits = value  # how many may hold; those of a BoundedSemaphore never grow
        self.held = Counter()  # by session; right in sum, and to the last one until one released what another held
        self.exact = True
        self.waiting = []

    @property
    def free(self):
        return self.permits - self.held.total()

    @rule(party=anyone)
    def acquire_now(self, party):
        got = self.free > 0
        assert party.ask(lambda: self.slots[party].acquire(blocking=False)) is got
        self.held[party.session] += got

    @rule(party=anyone)
    def acquire_within_a_moment(self, party):
        """Who waits in vain stands in nobody's way afterwards."""
        got = self.free > 0
        assert party.ask(lambda: self.slots[party].acquire(timeout=0.002)) is got
        self.held[party.session] += got

    @precondition(lambda self: len(self.idle()) > 1)
    @rule(party=anyone)
    def acquire(self, party):
        party.begin(self.slots[party].acquire)
        if self.free > 0:
            assert party.answer() is True
            self.held[party.session] += 1
        else:
            self.waiting.append(party)
            self.waits(party, lambda: len(self.look.statistics().waiters) == len(self.waiting))

    @rule(party=anyone, n=st.integers(1, 3))
    def release(self, party, n):
        """First what its session holds, then what others do, then a permit more; the first waiters have them."""
        if self.kind is interlock.BoundedSemaphore and n > self.held.total():
            assert party.ask(lambda: self.slots[party].release(n)) is ValueError
            return
        assert party.ask(lambda: self.slots[party].release(n)) is None
        for _ in range(n):
            if self.held[party.session]:
                self.held[party.session] -= 1
            elif self.held.total():
                self.exact = False
                self.held[next(session for session, count in self.held.items() if count)] -= 1
            else:
                self.permits += 1
        while self.waiting and self.free > 0:
            first = self.waiting.pop(0)
            assert first.answer() is True
            self.held[first.session] += 1

    @rule(party=anyone)
    def try_to_acquire_what_is_released_to_who_waits(self, party):
        """A permit that is given back while somebody waits is never free."""
        if self.waiting and self.held[party.session]:
            slots, first = self.slots[party], self.waiting.pop(0)
            assert party.ask(lambda: (slots.release(), slots.acquire(blocking=False))) == (None, False)
            assert first.answer() is True
            self.held[party.session] -= 1
            self.held[first.session] += 1

    @rule(party=anyone, n=st.integers(-1, 0))
    def release_none(self, party, n):
        assert party.ask(lambda: self.slots[party].release(n)) is ValueError

    @invariant()
    def statistics_say_what_the_model_says(self):
        seen = self.look.statistics()
        assert marks(seen.waiters) == [party.mark for party in self.waiting]
        assert seen.permits == self.permits
        assert len(seen.holders) == self.held.total() <= self.permits
        if self.exact:
            holders = Counter(int(mark[1:]) % 3 for mark in marks(holder.who for holder in seen.holders))
            assert holders == +self.held

    def let_go(self):
        with suppress(ValueError):
            self.look.release()

    def unlink(self):
        self.look.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_permits_go_to_who_asked_first_and_are_never_more_than_there_are(kind):
    """Whatever five parties do, in any order."""
    run(Permits, kind)


@pytest.mark.parametrize("twin", ["grants_though_held", "one_permit_too_many", "last_come_first_served"])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_found_that_show_a_broken_semaphore(kind, twin):
    """The test above fails for each of these."""
    run(Permits, kind, twin=twin)
