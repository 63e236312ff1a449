"""Biased locking: the threads of one process take turns with a lock that the process keeps.

The thread that has the turn enters, or asks Redis on behalf of all threads. A thread that leaves keeps its turn: the
lock is *biased* to that thread. So the thread enters and leaves again without a mutex, until another thread of the
process, or the heartbeat, wants the turn and takes the bias away. (Russell and Detlefs 2006 do so between threads of
one machine.)

The fast paths of the thread that has the bias are in `lock.py`. Every other thread takes the turn here, under the
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

TURN = 0.001  # seconds that a thread keeps its turn while others of its process wait: each change costs a thread switch
HANDED = -2  # in place of a thread's number: the turn was handed to a waiting thread, which has not taken it yet
NOBODY: Any = threading.RLock()  # no thread owns it
BIASED = getattr(
    sys, "_is_gil_enabled", lambda: True
)()  # without the GIL, a thread may see another thread's writes out of order


class Bias:
    """The right of one thread, in one task, to enter again: the thread keeps its turn while it is outside.

    The bias has all that the fast paths read and write, for each access to an attribute takes time. Only the thread of
    the bias notes that it is inside. Other threads set, under the mutex, until when it may enter, stay and write.
    """

    __slots__ = (
        *("caller", "deadline", "entered", "good_until", "inside"),
        *("noted", "mark", "stay_until", "taken", "thread"),
    )

    def __init__(self, thread: int = 0, entered: float | None = None) -> None:
        self.thread = thread  # 0: the bias belongs to no thread
        self.mark: Any = threading.RLock()  # that thread owns it: to ask it is faster than to compare `get_ident()`
        if thread:
            self.mark.acquire()
        self.taken = False  # its thread is inside, or about to enter
        self.inside = NOBODY  # the mark while its thread is inside, else NOBODY
        self.entered = entered  # when, on time.monotonic(): this object identifies the section that runs or ran last
        self.caller: Caller | None = None  # the task
        self.noted = False  # the lock has noted that the task writes
        self.good_until = 0.0  # on time.monotonic(): until then its thread may enter without asking Redis
        self.stay_until = 0.0  # until then its thread leaves without giving the lock back or making room for a waiter
        self.deadline = 0.0  # until then its thread, if it is inside, may write

    @property
    def task(self) -> str | None:
        """The task's id."""
        return self.caller.id if self.caller else None


NO_BIAS = Bias()
Found = TypeVar("Found")
Running: TypeAlias = tuple[str | None, float | None] | None
"""The task of the section that runs, and the object that identifies that section; None: no section runs."""


class Turns:
    """Which thread of this process is inside a lock, and which thread is next."""

    HEARTBEAT = -1  # in place of a thread's number: the heartbeat

    def __init__(self) -> None:
        # The bias of the thread that keeps the turn; one of no thread while a thread enters, or gives the lock back.
        self.bias_holder = Bias()
        self.reset()

    def reset(self) -> None:
        """Begin anew: no thread is inside, and no thread waits."""
        self._vacate()
        self.turn = 0  # the thread that has the turn, inside or not; 0: none. Written under the mutex
        self.arriving: dict[int, bool] = {}  # threads that are about to enter, and may have the turn
        self.queue: deque[Signal] = deque()  # of threads that wait for their turn; the first one tries each TURN
        self.good_until = self.stay_until = self.deadline = 0.0  # the times of the bias, unless they are withdrawn
        self._offered = False  # the bias has these times
        self._handed: Signal | None = None  # the waiting thread that the turn was handed to
        self._turn_until = 0.0
        self._mutex = bookkeeping()

    @property
    def thread(self) -> int:
        """The thread that is inside; 0: none is."""
        bias_holder = self.bias_holder
        return 0 if bias_holder.inside is NOBODY else bias_holder.thread

    @property
    def section(self) -> float | None:
        """The object that identifies the section that runs; None: no section runs."""
        bias_holder = self.bias_holder
        return None if bias_holder.inside is NOBODY else bias_holder.entered

    @property
    def owner(self) -> Owner | None:
        """The thread that is inside, and the task that it runs; None: no thread is inside."""
        bias_holder = self.bias_holder
        return None if bias_holder.inside is NOBODY else (bias_holder.thread, bias_holder.task)

    def limit(self, good_until: float, stay_until: float, deadline: float) -> None:
        """Set until when threads may enter, leave and write without asking Redis."""
        with self._mutex:
            self.good_until, self.stay_until, self.deadline = good_until, stay_until, deadline
            self._show()

    def make_room(self, until: float) -> None:
        """Have a thread that leaves after that time leave by way of the mutex, which makes room for a waiter."""
        with self._mutex:
            self.stay_until = min(self.stay_until, until)
            self._show()

    def _show(self) -> None:
        bias_holder = self.bias_holder
        bias_holder.deadline = self.deadline
        if self._offered:
            bias_holder.good_until, bias_holder.stay_until = self.good_until, self.stay_until

    def _withdraw(self) -> None:
        """Have the thread that keeps the turn enter and leave by way of the mutex."""
        self._offered = False
        self.bias_holder.good_until = self.bias_holder.stay_until = 0.0

    def _vacate(self) -> None:
        """End the bias: no thread has it any more."""
        bias, self.bias_holder = self.bias_holder, Bias(0, self.bias_holder.entered)
        bias.inside, bias.taken = NOBODY, False
        bias.good_until = bias.stay_until = bias.deadline = 0.0
        self._offered = False

    def take(self, who: int) -> bool:
        """Try to take the turn, also from a thread that keeps it and is outside; return whether that succeeded."""
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
        """Take the bias away and return True; return False if its thread is inside, or about to enter."""
        bias_holder = self.bias_holder
        self._withdraw()  # first; only then look whether its thread has taken it: see `_BaseLock.__enter__`
        # Whether this call, of a signal handler or a finalizer, interrupts that thread amid entering.
        amid = bias_holder.thread == threading.get_ident() and bias_holder.inside is NOBODY
        if bias_holder.taken and not amid:
            return False
        self._vacate()
        return True

    def take_turn(self, timeout: float | None) -> Steps[bool]:
        """Wait for the turn among the threads of this process, in order of arrival; return whether it came in time."""
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
                            self._withdraw()  # the thread that is inside then hands the turn on when it leaves
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

    def enter_at_once(self) -> bool:
        """Enter if no thread is inside and Redis need not be asked; return whether the thread entered."""
        me = threading.get_ident()
        entered = False
        if self._mutex._is_owned():  # a signal handler interrupts its own thread amid bookkeeping: see `mutex.py`
            return False
        try:
            with self._mutex:
                if monotonic() < self.good_until and self._take(me):
                    entered = True
                    self._bias_to(me)
        except BaseException:
            if entered:
                self.end_turn(me)
            raise
        return entered

    def enter(self) -> None:
        """Note that the calling thread, which has the turn, is inside."""
        with self._mutex:
            self._bias_to(threading.get_ident())

    def _bias_to(self, me: int) -> None:
        """Bias the lock to the calling thread, which is inside from now on."""
        self._vacate()
        bias = Bias(me, monotonic())
        bias.caller = current.get()
        bias.taken, bias.inside = True, bias.mark
        self.bias_holder = bias
        self._offered = BIASED
        self._show()

    def nest(self, deeper: bool) -> None:
        """Switch the fast paths off while a thread is inside an RLock more than once: they know of one entry only.

        Args:
            deeper: whether the thread is inside more than once from now on.
        """
        with self._mutex:
            if deeper:
                self._withdraw()
            else:
                self._offered = BIASED
                self._show()

    def at_rest(self, look: Callable[[float | None], Found]) -> tuple[Found, Running]:
        """Return what a look shows during which no section begins or ends.

        Args:
            look: called with the object that identifies the section that runs, or None if no section runs. It is called
                again if a section begins or ends during the call.

        Returns:
            What the look showed, and which section of which task runs.
        """
        shown = self._looked(look)
        if shown is None:  # sections began or ended meanwhile: the look was long, or had bad luck
            with self._mutex:
                shown = self._held_up(look)
        return shown

    def _held_up(self, look: Callable[[float | None], Found]) -> tuple[Found, Running]:
        """Look as `at_rest`, under the mutex: the section that runs may end meanwhile; the next one waits to begin."""
        self._withdraw()
        while (shown := self._looked(look)) is None:
            pass
        return shown

    def _looked(self, look: Callable[[float | None], Found]) -> tuple[Found, Running] | None:
        bias = self.bias_holder
        entered = bias.entered  # first: if a section begins after this, the comparison below finds another object
        inside = bias.inside
        found = look(None if inside is NOBODY else entered)
        if self.bias_holder is bias and bias.inside is inside and bias.entered is entered:
            return found, None if inside is NOBODY else (bias.task, entered)
        return None

    def end_section(self, look: Callable[[float | None], Found]) -> Found:
        """End the section that runs, whatever its thread does; return what a look as in `at_rest` shows just before."""
        with self._mutex:
            found, _ = self._held_up(look)
            self._vacate()
        return found

    def end_turn(self, thread: int) -> None:
        """End the turn of that thread: the next thread may enter, at once or when the last one's TURN is over."""
        bias = self.bias_holder
        if self.thread == thread != 0:  # perhaps not the calling thread: it may take its turn again at any time
            bias.inside = NOBODY
            bias.taken = False  # if an exception strikes now, that thread has left as by the fast path: see `take`
        with self._mutex:
            if self.turn == thread and self.bias_holder is bias and self._freed():
                self._end_turn()

    def _end_turn(self) -> None:
        self.turn = 0
        if self.queue and self._handed is None and monotonic() >= self._turn_until:
            self.turn, self._handed = HANDED, self.queue[0]
            self._handed.wake()

    def end_orphaned(self) -> None:
        """End the turn of a thread that has it and is gone: a signal handler raised amid the thread's entering."""
        with self._mutex:
            if self.turn > 0 and not self.bias_holder.thread and self.turn not in self.arriving:
                self._end_turn()
