"""What this process tells Redis of the names that it uses, so that a page can list locks without a scan of all keys.

The sorted set `<prefix>interlock:names` holds the names in use, scored by when a process last told of them. The scripts
of a lock cannot write it: on a Redis Cluster, they reach the keys of one name alone. So each process notes the names
that it uses, and its heartbeat tells Redis of them, away from the calls that acquire. A member is the name of a
primitive; of a Condition, the name of its lock, a "}" and its own, since no name has a brace.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from interlock._holding.holdings import Holdings
from interlock._io.wire import Outbox
from interlock._protocol import name_scripts

GATHER = 0.25  # seconds between a name that is new and the command that tells of it: others join it meanwhile
TOLD_FOR = 30.0  # seconds: a name that is still in use then is told of again
NAMES_MAX = 1000  # in one command


def member(name: str, condition: str = "") -> str:
    """Return what the sorted set has for a primitive, or for a Condition of a lock."""
    return f"{name}}}{condition}" if condition else name


class Registry:
    """The names that one session uses; at most once in GATHER seconds, the heartbeat tells Redis of the new ones.

    Args:
        holdings: the holds and waits of the session.
        prefix: what the key's name begins with.
    """

    def __init__(self, holdings: Holdings, prefix: str) -> None:
        self._holdings, self._prefix = holdings, prefix
        self._known: set[str] = set()  # told of, or about to be
        self._new: deque[str] = deque()
        self.due = float("inf")  # when the heartbeat is to send, on time.monotonic()
        self._begun = 0.0  # when the first of `_known` was noted, on time.monotonic()

    def note(self, name: str, condition: str = "") -> float | None:
        """Note a name in use. Return None if Redis knows of it, else when the heartbeat is to send, at the latest.

        Takes no mutex: it is called at each acquire.
        """
        used = member(name, condition)
        if used in self._known:
            return None
        self._known.add(used)
        self._new.append(used)
        now = time.monotonic()
        if self._begun == 0.0:
            self._begun = now
        self.due = min(self.due, now + GATHER)
        return self.due

    def send(self, outbox: Outbox) -> None:
        """Tell Redis what is new, and every TOLD_FOR seconds what this process still holds or waits for.

        This awaits neither a connection nor the command's reply: the leases of other names depend on the thread that
        calls it. If the command is lost, the next one after TOLD_FOR makes up for it.
        """
        now = time.monotonic()
        if now >= self._begun + TOLD_FOR:
            with self._holdings.mutex:
                holds, waits = list(self._holdings.holds.values()), list(self._holdings.waits.values())
            in_use = {member(hold.resource.name) for hold in holds}
            in_use |= {member(wait.resource.name, wait.condition) for wait in waits}
            self._known = set(in_use)  # first: what is noted from here on is new
            self._new.extend(in_use)
            self._begun = now
        told = [self._new.popleft() for _ in range(len(self._new))]
        self._known.update(told)
        if self._known:
            self.due = max(self._begun + TOLD_FOR, now + GATHER)
        else:
            self.due, self._begun = float("inf"), 0.0
        if self._new:  # noted meanwhile
            self.due = now + GATHER
        commands = [
            name_scripts.note_command(self._prefix, told[first : first + NAMES_MAX])
            for first in range(0, len(told), NAMES_MAX)
        ]
        if not commands:
            return
        if outbox.opened(commands[0]):
            _send(outbox, commands)
        else:  # to connect takes round trips, and seconds if the node of a Cluster that has the set does not answer
            threading.Thread(target=_send, args=(outbox, commands), name="interlock-names", daemon=True).start()


def _send(outbox: Outbox, commands: Sequence[tuple[str | int, ...]]) -> None:
    for command in commands:
        outbox.send(command)
