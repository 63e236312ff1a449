"""The look at the server at first use and after each lost connection: a restarted server may forget grants."""

import logging
import threading
import time
from collections.abc import Callable

from interlock._holding.holdings import Holdings
from interlock._io.deadline import Deadline
from interlock._io.steps import Blocking, Steps, pause
from interlock._io.wire import Wire
from interlock._session import clients

log = logging.getLogger("interlock")


class ServerWatch:
    """Watches which process the server is, and for how long this process is not to ask it for a lock.

    Args:
        wire: to the server.
        holdings: where to note when the server was restarted.
        moved: called with the wire to the Cluster to which the server turns out to belong, or with `wire` itself.
        given: whether a user passed the client.
    """

    def __init__(self, wire: Wire, holdings: Holdings, moved: Callable[[Wire], None], *, given: bool) -> None:
        self._wire, self._holdings, self._moved, self._given = wire, holdings, moved, given
        self._checked = False
        self._checking = threading.RLock()  # an RLock, for a signal handler may check amid the check
        self._looking: set[object] = set()  # one for each thread that looks whether a server was restarted
        self._runs: frozenset[str] = frozenset()  # the run ids of the servers' processes

    def checked(self) -> Steps[None]:
        """Look at the server, at first use."""
        if not self._checked:
            yield Blocking(self._check)

    def _check(self) -> None:
        with self._checking:
            if not self._checked:
                self._wire = clients.checked(self._wire, given=self._given)  # another wire if the server is a Cluster's
                self._moved(self._wire)
                self._runs = clients.runs(self._wire)
                self._checked = True

    def look(self) -> None:
        """Look, after a lost connection, whether the server was restarted or replaced: it may have forgotten grants."""
        me = object()
        if self._wire.cut:  # else another thread looks, and this one wants to know what it finds
            self._looking.add(me)  # first: see `doubtful`
        try:
            self._wire.cut = False
            try:
                found = clients.runs(self._wire)
            except BaseException:
                self._wire.cut = True
                raise
            with self._holdings.mutex:
                restarted = found != self._runs
                if restarted:
                    self._runs, self._holdings.restarted = found, time.monotonic()
            if restarted:
                log.warning("%s was restarted: for one lease, nobody here asks for a lock", clients.where(self._wire))
        finally:
            self._looking.discard(me)

    @property
    def doubtful(self) -> bool:
        """Whether a server may have been restarted: a connection was lost, or a thread looks at this moment."""
        return self._wire.cut or bool(self._looking)

    def calm(self, lease: float, deadline: Deadline) -> Steps[bool]:
        """Wait for as long as Redis may have forgotten who holds a lock; return whether that is over in time."""
        if self.doubtful:
            yield Blocking(self.look)
        while (quiet := self._holdings.quiet(lease)) > 0:
            left = deadline.within(quiet)
            if left <= 0:
                return False
            yield pause(left)
        return True
