"""Threads of one process take turns with a lock that it keeps: biased locking.

The thread that has the turn enters, or asks Redis for all. A thread that leaves does not give its turn up: the lock is
*biased* to it, so that it enters again and leaves without a mutex, until another thread of the process, or the
heartbeat, wants the turn and takes the bias away. (Russell and Detlefs 2006 do so between threads of one machine.)

The fast paths of the thread that has the bias stand in `lock.py`. Every other thread takes the turn here, under the
mutex.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from interlock._holding.mutex import bookkeeping
from interlock._io.deadline import Deadline
from interlock._io.steps import Rest, Signal, Steps
from interlock.caller import Caller, Owner, current

TURN = 0.001  # seconds that a thread keeps its turn while others of its process wait: each change costs a switch
HANDED = -2  # in place of a thread: the turn is on its way to one
NOBODY: Any = threading.RLock()  # which nobody owns
BIASED = getattr(
    sys, "_is_gil_enabled", lambda: True
)()  # without it, what one thread does another may see out of order


class Bias:
    """The right of one thread, in one task, to enter again, for which it keeps the turn while it is outside.

    It has all that the fast paths read and write, for each attribute costs. Its thread alone says that it is inside;
    until when that may be, others say, under the mutex.
    """

    __slots__ = (
        *("caller", "deadline", "entered", "good_until", "inside"),
        *("noted", "mark", "stay_until", "taken", "thread"),
    )

    def __init__(self, thread: int = 0, entered: float | None = None) -> None:
        self.thread = thread  # 0: nobody's
        self.mark: Any = threading.RLock()  # owned by that thread: to ask it is faster than to compare `get_ident()`
        if thread:
            self.mark.acquire()
        self.taken = False  # its thread is inside, or about to be
        self.inside = NOBODY  # the mark, if its thread is inside
        self.entered = entered  # when, on time.monotonic(): that object stands for the section that runs or ran last
        self.caller: Caller | None = None  # the task
        self.noted = False  # that the task has written
        self.good_until = 0.0  # on time.monotonic(): until then its thread may enter without asking
        self.stay_until = 0.0  # until then who leaves has nothing to give back, and nobody to make room for
        self.deadline = 0.0  # until then who is inside may write

    @property
    def task(self) -> str | None:
        """The task's id."""
        return self.caller.id if self.caller else None


NO_BIAS = Bias()
Found = TypeVar("Found")
Running: TypeAlias = tuple[str | None, float | None] | None
"""The task of the section that runs, and what stands for that section; None: none runs."""


class Turns:
    """Which thread of this process is inside a lock, and who is next."""

    HEARTBEAT = -1  # in place of a thread

    def __init__(self) -> None:
        self.bias_holder = Bias()  # of the thread that keeps the turn; nobody's: it is entering, or gives the lock back
        self.reset()

    def reset(self) -> None:
        """Nobody is inside, nobody waits."""
        self._vacate()
        self.turn = 0  # who has the turn, inside or not; 0: nobody. Written under the mutex
        self.arriving: dict[int, bool] = {}  # threads that are about to enter, and may have the turn
        self.queue: deque[Signal] = deque()  # threads that wait for their turn; the first tries each TURN
        self.good_until = self.stay_until = self.deadline = 0.0  # what a bias has of it, unless it is taken away
        self._offered = False  # the bias has its times
        self._handed: Signal | None = None  # to whom the turn was given
        self._turn_until = 0.0
        self._mutex = bookkeeping()

    @property
    def thread(self) -> int:
        """Who is inside; 0: nobody."""
        bias_holder = self.bias_holder
        return 0 if bias_holder.inside is NOBODY else bias_holder.thread

    @property
    def section(self) -> float | None:
        """What stands for the section that runs; None: none does."""
        bias_holder = self.bias_holder
        return None if bias_holder.inside is NOBODY else bias_holder.entered

    @property
    def owner(self) -> Owner | None:
        """Who is inside: the thread, and the task that it runs."""
        bias_holder = self.bias_holder
        return None if bias_holder.inside is NOBODY else (bias_holder.thread, bias_holder.task)

    def limit(self, good_until: float, stay_until: float, deadline: float) -> None:
        """Until when threads may enter, leave and write by themselves."""
        with self._mutex:
            self.good_until, self.stay_until, self.deadline = good_until, stay_until, deadline
            self._show()

    def make_room(self, until: float) -> None:
        """From then on, who leaves is not to stay."""
        with self._mutex:
            self.stay_until = min(self.stay_until, until)
            self._show()

    def _show(self) -> None:
        bias_holder = self.bias_holder
        bias_holder.deadline = self.deadline
        if self._offered:
            bias_holder.good_until, bias_holder.stay_until = self.good_until, self.stay_until

    def _withdraw(self) -> None:
        """Who keeps the turn is to enter and leave by way of the mutex."""
        self._offered = False
        self.bias_holder.good_until = self.bias_holder.stay_until = 0.0

    def _vacate(self) -> None:
        """End the bias: no thread has it any more."""
        bias, self.bias_holder = self.bias_holder, Bias(0, self.bias_holder.entered)
        bias.inside, bias.taken = NOBODY, False
        bias.good_until = bias.stay_until = bias.deadline = 0.0
        self._offered = False

    def take(self, who: int) -> bool:
        """Try to take the turn, also from a thread that keeps it and is outside."""
        with self._mutex:
            return self._take(who)

    def _take(self, who: int) -> bool:
        if self.thread:
            return False
        if self.bias_holder.thread:
            if not self._freed():
                return False
            self.turn = 0
        if self.turn not in (0, who):
            return False
        self.turn = who
        return True

    def _freed(self) -> bool:
        """Take the bias away; False: its thread is inside, or about to be."""
        bias_holder = self.bias_holder
        self._withdraw()  # first; then look whether it was taken before
        amid = bias_holder.thread == threading.get_ident() and bias_holder.inside is NOBODY  # interrupted amid entering
        if bias_holder.taken and not amid:
            return False
        self._vacate()
        return True

    def take_turn(self, timeout: float | None) -> Steps[bool]:
        """Wait for the turn among the threads of this process, in order of arrival; whether it came in time."""
        me = threading.get_ident()
        if not self.queue and self.take(me):
            return True
        if timeout == 0:
            return False
        deadline, signal = Deadline(timeout), Signal()
        mine = False
        try:
            with self._mutex:
                if not self.queue:
                    self._turn_until = monotonic() + TURN
                self.queue.append(signal)
            while True:
                with self._mutex:
                    first = self.queue[0] is signal
                    if self._handed is signal:
                        self.turn = me
                        mine = True
                    elif first and self._handed is None:
                        mine = self._take(me)
                        if not mine and monotonic() >= self._turn_until:
                            self._withdraw()  # who is inside is to hand the turn on when it leaves
                if mine or deadline.over:
                    return mine
                yield Rest(signal, deadline.within(TURN) if first else deadline.left)
        finally:
            with self._mutex:
                if self._handed is signal:
                    self._handed = None
                    if not mine:
                        self.turn = 0
                if signal in self.queue:
                    self.queue.remove(signal)
                self._turn_until = monotonic() + TURN
                if self.queue:
                    self.queue[0].wake()

    def enter(self) -> None:
        """The thread that has the turn is inside."""
        with self._mutex:
            self._bias_to(threading.get_ident())

    def _bias_to(self, me: int) -> None:
        """Bias the lock to that thread from now on."""
        self._vacate()
        bias = Bias(me, monotonic())
        bias.caller = current.get()
        bias.taken, bias.inside = True, bias.mark
        self.bias_holder = bias
        self._offered = BIASED
        self._show()

    def nest(self, deeper: bool) -> None:
        """The thread that is inside has entered an RLock once more: the fast paths know of one time only."""
        with self._mutex:
            if deeper:
                self._withdraw()
            else:
                self._offered = BIASED
                self._show()

    def at_rest(self, look: Callable[[float | None], Found]) -> tuple[Found, Running]:
        """What a look shows within which no section begins or ends.

        Args:
            look: called, again if one does, with what stands for the section that runs; None: none does.

        Returns:
            What it showed, and which section of which task runs.
        """
        shown = self._looked(look)
        if shown is None:  # a long look, or bad luck
            with self._mutex:
                shown = self._held_up(look)
        return shown

    def _held_up(self, look: Callable[[float | None], Found]) -> tuple[Found, Running]:
        """As `at_rest`, under the mutex: the section that runs may end meanwhile, and the next one waits to begin."""
        self._withdraw()
        while (shown := self._looked(look)) is None:
            pass
        return shown

    def _looked(self, look: Callable[[float | None], Found]) -> tuple[Found, Running] | None:
        bias = self.bias_holder
        entered = bias.entered  # first: if a section begins after this, it is not the same when it is looked at again
        inside = bias.inside
        found = look(None if inside is NOBODY else entered)
        if self.bias_holder is bias and bias.inside is inside and bias.entered is entered:
            return found, None if inside is NOBODY else (bias.task, entered)
        return None

    def end_turn(self, thread: int) -> None:
        """Its turn is over: the next may enter, at once or when the last one's time is over."""
        bias = self.bias_holder
        if self.thread == thread != 0:  # perhaps another thread, which may take its turn again at any time
            bias.inside = NOBODY
            bias.taken = False  # if this is interrupted now, it has left as by the fast path, and the turn can be taken
        with self._mutex:
            if self.turn == thread and self.bias_holder is bias and self._freed():
                self._end_turn()

    def _end_turn(self) -> None:
        self.turn = 0
        if self.queue and self._handed is None and monotonic() >= self._turn_until:
            self.turn, self._handed = HANDED, self.queue[0]
            self._handed.wake()

    def end_orphaned(self) -> None:
        """End the turn of a thread that has it and went: an exception of a signal handler struck amid entering."""
        with self._mutex:
            if self.turn > 0 and not self.bias_holder.thread and self.turn not in self.arriving:
                self._end_turn()
