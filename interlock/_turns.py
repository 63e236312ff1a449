"""Threads of one process take turns with a lock that it keeps.

Who has the turn enters, or asks Redis for all. A thread that leaves does not give its turn up: it has a *seat*, with
which it enters again and leaves without a mutex, until another thread of the process, or the heartbeat, wants the turn
and takes the seat away. (Biased locking, Russell and Detlefs 2006, does the same between threads of one machine.)

The fast paths of who has a seat stand in `lock.py`. Everybody else takes the turn here, under the mutex.
"""

import sys
import threading
from collections import deque
from time import monotonic

from interlock._steps import Rest, Signal, Steps

TURN = 0.001  # seconds that a thread keeps its turn while others of its process wait: each change costs a switch
HANDED = -2  # in place of a thread: the turn is on its way to one
SEATS = getattr(sys, "_is_gil_enabled", lambda: True)()  # without it, what one thread does another may see out of order


class Seat:
    """The right of one thread to enter again, for which it keeps the turn while it is outside."""

    __slots__ = ("taken", "thread")

    def __init__(self, thread: int, *, taken: bool) -> None:
        self.thread = thread
        self.taken = taken  # it is inside, or about to be: only that thread writes it


NO_SEAT = Seat(0, taken=False)


class Turns:
    """Which thread of this process is inside a lock, and who is next."""

    __slots__ = ("_handed", "_mutex", "_turn_until", "arriving", "keeper", "queue", "seat", "thread", "turn")

    HEARTBEAT = -1  # in place of a thread

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nobody is inside, nobody waits."""
        self.thread = 0  # who is inside; 0: nobody
        self.turn = 0  # who has the turn, inside or not; 0: nobody. Written under the mutex
        self.keeper = NO_SEAT  # with which its thread keeps the turn; none: it is entering, or gives the lock back
        self.seat = NO_SEAT  # the same, as long as its fast paths may use it
        self.arriving: dict[int, bool] = {}  # threads that are about to enter, and may have the turn
        self.queue: deque[Signal] = deque()  # threads that wait for their turn; the first tries each TURN
        self._handed: Signal | None = None  # to whom the turn was given
        self._turn_until = 0.0
        self._mutex = threading.Lock()

    def take(self, who: int) -> bool:
        """Try to take the turn, also from a thread that keeps it and is outside."""
        with self._mutex:
            return self._take(who)

    def _take(self, who: int) -> bool:
        if self.thread:
            return False
        keeper = self.keeper
        if keeper is not NO_SEAT:
            self.seat = NO_SEAT  # first; then look whether it was taken before
            if keeper.taken and keeper.thread != who:  # its own, taken: it was interrupted amid entering
                return False
            self.keeper, self.turn = NO_SEAT, 0
        if self.turn not in (0, who):
            return False
        self.turn = who
        return True

    def take_turn(self, timeout: float | None) -> Steps[bool]:
        """Wait for the turn among the threads of this process, in order of arrival; whether it came in time."""
        me = threading.get_ident()
        if not self.queue and self.take(me):
            return True
        if timeout == 0:
            return False
        until = None if timeout is None else monotonic() + timeout
        signal = Signal()
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
                            self.seat = NO_SEAT  # who is inside is to hand the turn on when it leaves
                left = None if until is None else until - monotonic()
                if mine or (left is not None and left <= 0):
                    return mine
                yield Rest(signal, left if not first else TURN if left is None else min(left, TURN))
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

    def sit(self, me: int) -> None:
        """The thread that has the turn is inside, and has a seat from now on."""
        self.thread = me
        if SEATS:
            self.keeper = self.seat = Seat(me, taken=True)

    def nest(self, deeper: bool) -> None:
        """The thread that is inside has entered an RLock once more: the fast paths know of one time only."""
        self.seat = NO_SEAT if deeper else self.keeper

    def end_turn(self, who: int) -> None:
        """Its turn is over: the next may enter, at once or when the last one's time is over."""
        if self.thread == who != 0:
            self.keeper = self.seat = NO_SEAT
            self.thread = 0
        with self._mutex:
            if self.turn == who:
                self._end_turn()

    def _end_turn(self) -> None:
        self.keeper = self.seat = NO_SEAT
        self.turn = 0
        if self.queue and self._handed is None and monotonic() >= self._turn_until:
            self.turn, self._handed = HANDED, self.queue[0]
            self._handed.wake()

    def end_orphaned(self) -> None:
        """End the turn of a thread that has it and went: an exception of a signal handler struck amid entering."""
        with self._mutex:
            if self.turn > 0 and not self.thread and self.keeper is NO_SEAT and self.turn not in self.arriving:
                self._end_turn()
