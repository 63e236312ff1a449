"""Condition against a model: who holds its lock, who queues for it, and who waits to be notified."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from parties import Machine, anyone, marks, run

import interlock

holds = precondition(lambda self: self.holder)


class Notifications(Machine):
    """Who is notified queues for the lock; the first there has it when its holder gives it up, and nobody else."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    @initialize()
    def make(self):
        lock = self.kind(client=self.parties[0].client, linger=0)
        self.locks = {party: self.kind(name=lock.name, client=party.client, linger=0) for party in self.parties}
        self.conditions = {party: interlock.Condition(lock, name="change") for party, lock in self.locks.items()}
        self.look, self.lock = interlock.Condition(lock, name="change"), lock
        self.holder = None
        self.levels = dict.fromkeys(self.parties, 0)  # how often it acquired an RLock that it holds, or waits with
        self.queue = []  # who waits for the lock, each with what its call answers then
        self.waiters = []

    def in_place(self):
        """Whether as many wait as the model says."""
        return self.counts() == (len(self.waiters), len(self.queue))

    def counts(self):
        return len(self.look.statistics().waiters), len(self.lock.statistics().waiters)

    def hand_over(self):
        self.holder = None
        if self.queue:
            self.holder, answer = self.queue.pop(0)
            assert self.holder.answer() is answer

    @rule(party=anyone)
    def acquire(self, party):
        again = party is self.holder
        if again and self.kind is interlock.Lock:
            return
        party.begin(self.conditions[party].acquire)
        if again or self.holder is None:
            assert party.answer() is True
            self.holder = party
            self.levels[party] += 1
        else:
            self.levels[party] = 1
            self.queue.append((party, True))
            self.waits(party, self.in_place)

    @rule(party=anyone)
    def acquire_now(self, party):
        got = self.holder is None or (party is self.holder and self.kind is interlock.RLock)
        assert party.ask(lambda: self.conditions[party].acquire(blocking=False)) is got
        if got:
            self.holder = party
            self.levels[party] += 1

    @holds
    @rule()
    def release(self):
        party = self.holder
        assert party.ask(self.conditions[party].release) is None
        self.levels[party] -= 1
        if not self.levels[party]:
            self.hand_over()

    @holds
    @precondition(lambda self: self.queue or len(self.idle()) > 1)
    @rule()
    def wait(self):
        party = self.holder
        party.begin(self.conditions[party].wait)
        self.waiters.append(party)
        self.hand_over()
        self.waits(party, self.in_place)

    @holds
    @rule()
    def wait_a_moment(self):
        """Who is not notified in time queues for the lock, behind all who queue already."""
        party = self.holder
        party.begin(lambda: self.conditions[party].wait(timeout=0.002))
        self.queue.append((party, False))
        self.hand_over()
        if self.holder is not party:
            self.waits(party, self.in_place)

    @holds
    @rule(n=st.integers(-1, 3))
    def notify(self, n):
        assert self.holder.ask(lambda: self.conditions[self.holder].notify(n)) is None
        self.move(max(0, n))

    @holds
    @rule()
    def notify_all(self):
        assert self.holder.ask(self.conditions[self.holder].notify_all) is None
        self.move(len(self.waiters))

    def move(self, n):
        self.queue += [(waiter, True) for waiter in self.waiters[:n]]
        del self.waiters[:n]

    @rule(party=anyone)
    def wait_notify_and_release_without_the_lock(self, party):
        if party is not self.holder:
            condition = self.conditions[party]
            calls = [lambda: condition.wait(timeout=0.002), condition.notify, condition.notify_all]
            if self.kind is interlock.RLock:  # a Lock may be released by another thread of its holder's process
                calls.append(condition.release)
            for call in calls:
                assert party.ask(call) is interlock.NotHeldError

    @invariant()
    def statistics_say_what_the_model_says(self):
        lock = self.lock.statistics()
        assert marks(holder.who for holder in lock.holders) == [p.mark for p in self.parties if p is self.holder]
        assert marks(lock.waiters) == [party.mark for party, _ in self.queue]
        assert marks(self.look.statistics().waiters) == [party.mark for party in self.waiters]

    def let_go(self):
        """Who has the lock, or can have it, notifies all and gives it up."""
        for party in self.idle():
            condition = self.conditions[party]
            party.ask(lambda condition=condition: condition.acquire(blocking=False))
            party.ask(condition.notify_all)
            while party.ask(condition.release) is None:
                pass

    def unlink(self):
        self.let_go()


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
def test_who_waited_longest_is_notified_first_and_has_the_lock_alone(kind):
    """Whatever five parties do, in any order."""
    run(Notifications, kind)


@pytest.mark.parametrize("twin", ["grants_though_held", "last_come_first_served", "wakes_in_any_order"])
def test_steps_are_found_that_show_a_broken_condition(twin):
    """The test above fails for each of these."""
    run(Notifications, interlock.RLock, twin=twin)
