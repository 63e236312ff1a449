"""What the property tests share: parties that call one after the other, and how Hypothesis makes up their steps.

A machine runs one step at a time and knows from its model what each call must answer, or that it must wait. Calls that
wait go on while others act: so the order of waiters, who is woken and who is not can be compared with the model.
"""

import functools
import os
import queue
import re
import threading
from contextlib import ExitStack

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from mutants import twins
from peers import wait_until
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

import interlock

SESSIONS, PARTIES = 3, 5  # two sessions have two parties each
PATIENCE = 60.0  # seconds until a call counts as lost: a busy machine is slow
PATIENCE_WITH_A_TWIN = 8.0  # where some calls are lost, and each of these is waited for
RUN = settings(
    derandomize=True, deadline=None, database=None, max_examples=25, stateful_step_count=30, print_blob=False,
    report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip
SEARCH = settings(RUN, phases=[Phase.generate], max_examples=200)  # until the first failure, which nobody will read


@functools.cache
def clients():
    """One for each session. They last as the default client does: a session ends with its client."""
    patience = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)  # as the default client's
    return [redis.Redis.from_url(os.environ["REDIS_URL"], retry=patience) for _ in range(SESSIONS)]


class Party:
    """A thread that makes one call at a time, through one of the sessions, and is known by its mark in statistics."""

    def __init__(self, number, client):
        self.mark, self.session, self.client = f"p{number}", number % SESSIONS, client
        self.busy = False
        self._calls, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with interlock.acting_for(self.mark, "party"):
            while (call := self._calls.get()) is not None:
                try:
                    answer = call()
                except Exception as error:
                    answer = type(error)
                self._answers.put(answer)

    def begin(self, call):
        """Start a call that may wait."""
        self.busy = True
        self._calls.put(call)

    @property
    def has_answer(self):
        """Whether the call has come back and nobody has looked at its answer."""
        return not self._answers.empty()

    def answer(self):
        """What the call returned, or the type of what it raised, once it has come back."""
        try:
            answer = self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{self} waits, and should not") from None
        self.busy = False
        return answer

    def ask(self, call):
        """Make a call that must not wait, and return its answer."""
        self.begin(call)
        return self.answer()

    def end(self):
        self._calls.put(None)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def __repr__(self):
        return self.mark


class Machine(RuleBasedStateMachine):
    """Steps of five parties in three sessions; a machine of one primitive adds the model and the rules."""

    def __init__(self):
        super().__init__()
        self.parties = [Party(number, clients()[number % SESSIONS]) for number in range(PARTIES)]

    def idle(self):
        """The parties that can make a call now."""
        return [party for party in self.parties if not party.busy]

    def waits(self, party, shown):
        """Its call is under way and in the queue, as `shown` says: it did not come back."""
        wait_until(lambda: party.has_answer or shown(), within=PATIENCE)
        assert not party.has_answer, f"{party} does not wait: {party.answer()!r}"

    @invariant()
    def nobody_who_has_to_wait_came_back(self):
        assert [party for party in self.parties if party.has_answer] == []

    def let_go(self):
        """End what is held, so that some of those who wait come back."""
        raise NotImplementedError

    def unlink(self):
        """Delete what the steps made."""
        raise NotImplementedError

    def teardown(self):
        wait_until(self._all_came_back, within=PATIENCE)
        self.unlink()
        for party in self.parties:
            party.end()

    def _all_came_back(self):
        for party in self.parties:
            if party.has_answer:
                party.answer()
        if len(self.idle()) == PARTIES:
            return True
        self.let_go()
        return False


anyone = st.runner().flatmap(lambda machine: st.sampled_from(machine.idle()))  # of those who do not wait


def marks(labels):
    """The parties behind what statistics say of holders and waiters."""
    return [re.search(r"\[(p\d)\]$", label)[1] for label in labels]


def same(one, other):
    """Equal in type too, not a number included: 1 is not True, and 0.0 is not -0.0."""
    return repr(one) == repr(other)


def run(machine, *arguments, twin=None):
    """Let Hypothesis search for steps after which the machine and its model disagree.

    With a broken twin in force, it must find some. They may not show it again, where it depends on who is quicker.
    """
    with ExitStack() as stack:
        if twin is not None:
            stack.enter_context(twins.in_force(twin))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setitem(globals(), "PATIENCE", PATIENCE_WITH_A_TWIN)
            stack.enter_context(pytest.raises((AssertionError, FlakyFailure)))
        run_state_machine_as_test(lambda: machine(*arguments), settings=RUN if twin is None else SEARCH)
