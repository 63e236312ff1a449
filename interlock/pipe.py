"""`Pipe`: two connected ends, each of which may be on any machine."""

import os
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from interlock._arguments import checked_name, checked_ttl, checked_wait
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, steps_of
from interlock._protocol import codec, queue_scripts, scripts
from interlock._protocol.queue_scripts import Answer, End
from interlock._protocol.scripts import Resource
from interlock.queue import get_item, put_item

_forks = 0  # grows with each fork that this process makes, and in a child with its own fork


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_parent=_count_fork, after_in_child=_count_fork)


@dataclass(frozen=True)
class ConnectionStatistics:
    """A look at one end of a Pipe, as Redis saw it, one direction after the other."""

    name: str
    end: int  # 0: the first end that Pipe returned, 1: the second
    incoming: int  # messages that this end has not received yet
    outgoing: int  # messages that the other end has not received yet
    closed: bool  # whether any process has closed this end
    other_closed: bool  # whether any process has closed the other end


def Pipe(  # noqa: N802 - the name that multiprocessing gives it
    duplex: bool = True,
    *,
    name: str | None = None,
    client: Client | None = None,
    ttl: float | None = None,
    pickle: bool = False,
) -> tuple["Connection", "Connection"]:
    """Return two connected ends, as `multiprocessing.Pipe` does, for use on different machines.

    >>> import interlock
    >>> here, there = interlock.Pipe()
    >>> here.send({"question": 6})
    >>> there.recv()
    {'question': 6}
    >>> there.close()
    >>> here.recv()
    Traceback (most recent call last):
        ...
    EOFError

    Pass an end to a process or a task as an argument, or have both sides make the Pipe by its name and use one end
    each.

    Args:
        duplex: True: both ends send and receive; False: the first receives, the second sends.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds without use after which Redis forgets the messages, and forgets that an end was closed, 1 to a
            year; None: never if it has a name (until `unlink`), else a day. A Pipe that is open and empty leaves Redis
            after a day, and so does a Pipe whose ends are both closed: its name is free again then.
        pickle: as in `Queue`: True: pickle each object that is sent, and unpickle each that is received.

    Returns:
        Two `Connection` objects.

    Raises:
        TypeError, ValueError: an argument is wrong. The call does not ask Redis: if the name belongs to another kind of
            thing, the first use of an end raises NameTakenError.
    """
    if not isinstance(duplex, bool | int):
        raise TypeError(f"duplex must be True or False, not {type(duplex).__name__}")
    if not isinstance(pickle, bool):
        raise TypeError(f"pickle must be True or False, not {type(pickle).__name__}")
    seconds = checked_ttl(ttl, named=name is not None)
    name = checked_name(name)
    first, second = (Connection(end, bool(duplex), name, client, seconds, pickle) for end in (0, 1))
    return first, second


class Connection(Primitive):
    """One end of a Pipe; `multiprocessing.connection.Connection` between machines. `Pipe` makes it.

    >>> import interlock
    >>> reader, writer = interlock.Pipe(duplex=False)
    >>> with writer:
    ...     writer.send_bytes(b"raw", 1)
    >>> reader.poll(), reader.recv_bytes()
    (True, b'aw')
    >>> reader.writable, writer.closed
    (False, True)

    Differs from `multiprocessing.connection.Connection`: a message is **JSON or bytes**, as in `Queue`, and has at most
    1 MiB; `recv` also returns the bytes that `send_bytes` sent, and `recv_bytes` the JSON text of an object that `send`
    sent. `send` never waits: messages that no process receives pile up in Redis. Several threads and processes may use
    one end: each message goes to one of them. Left out: `fileno`, and with it `multiprocessing.connection.wait`, and
    `recv_bytes_into`.

    Only `close()` closes an end, and it does so for all processes that have the end. The end stays open when its
    process dies or drops it, so a caller that waits for an answer that may never come should `poll` with a time-out. As
    with `multiprocessing`, a process that has passed an end on (as an argument, or by a fork) closes its own handle
    without closing the end, unless it has sent or received through it.

    Costs one round trip to send and to receive, and one or two to close. A waiting receiver has its message one and a
    half round trips after the message reaches Redis.
    """

    kind = "Connection"

    def __init__(
        self,
        end: int,
        duplex: bool,
        name: str,
        client: Client | None,
        ttl: float | None,
        pickle: bool,
    ) -> None:
        super().__init__(name, client)
        self.end, self.duplex, self.ttl, self.pickle = end, duplex, ttl, pickle
        self._readable = duplex or end == 0
        self._writable = duplex or end == 1
        self._closed = False
        self._passed_on = False
        self._forks = _forks
        self._used_by: int | None = None  # the id of the process that has sent or received through it

    def parameters(self) -> dict[str, Any]:
        self._passed_on = True
        return {"end": self.end, "duplex": self.duplex, "name": self.name, "ttl": self.ttl}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        return cls(**parameters, client=None, pickle=False)

    def _way(self, to: int) -> Resource:
        """Return the queue in Redis of the messages to one of the ends: its way."""
        ttl_ms = None if self.ttl is None else round(self.ttl * 1000)
        resource = self._session.resource("Pipe", self.name, 0, ttl_ms)
        return resource if to == 0 else replace(resource, state=f"{resource.state}:back")

    # --- messages ---

    @blocking
    def send(self, obj: Any) -> Steps[None]:
        """Send an object to the other end. One round trip; it does not wait for the receiver.

        Args:
            obj: JSON or bytes, at most 1 MiB; anything that pickles if the Pipe was made with `pickle=True`.

        Raises:
            BrokenPipeError: the other end is closed.
            OSError: this end is closed, or only receives.
            TypeError: JSON cannot hold the object.
            ValueError: the object is too large.
            NameTakenError, UnreachableError: as in `Queue.put`.
        """
        self._check(self._writable, "connection is read-only")
        yield from self._send(codec.encode(obj, pickles=self.pickle))

    @blocking
    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> Steps[None]:
        """Send bytes: `size` of them from `offset` on. Raises what `send` raises, and ValueError if `buf` has fewer."""
        self._check(self._writable, "connection is read-only")
        whole = memoryview(buf).tobytes()
        if offset < 0:
            raise ValueError("offset is negative")
        if len(whole) < offset:
            raise ValueError("buffer length < offset")
        if size is None:
            size = len(whole) - offset
        elif size < 0:
            raise ValueError("size is negative")
        elif offset + size > len(whole):
            raise ValueError("buffer length < offset + size")
        yield from self._send(codec.encode(whole[offset : offset + size], pickles=False))

    @blocking
    def recv(self) -> Steps[Any]:
        """Wait for the next message and return it.

        Raises:
            EOFError: there is no message, and the other end is closed.
            OSError: this end is closed, or only sends.
            InterlockError: the message is pickled, and this end was not made with `pickle=True`. It stays where it is.
            NameTakenError, UnreachableError: as in `Queue.put`.
        """
        return codec.decode((yield from self._receive(pickles=self.pickle)))

    @blocking
    def recv_bytes(self, maxlength: int | None = None) -> Steps[bytes]:
        """Wait for the next message and return its bytes.

        Raises:
            OSError: this end is closed, or only sends; or the message has more than maxlength bytes. Such a message is
                lost, and this object receives no more.
            EOFError, NameTakenError, UnreachableError: as in `recv`.
        """
        self._check(self._readable, "connection is write-only")
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        plain = codec.raw((yield from self._receive(pickles=True)))  # `codec.raw` unpickles nothing
        if maxlength is not None and len(plain) > maxlength:
            if self._writable:
                self._readable = False
            else:
                yield from steps_of(self.close)()
            raise OSError("bad message length")
        return plain

    @blocking
    def poll(self, timeout: float | None = 0.0) -> Steps[bool]:
        """Whether `recv` would return, or raise EOFError, at once. One round trip, or more if it waits.

        Args:
            timeout: how long to wait for that, in seconds; None: for ever.

        Raises:
            OSError, NameTakenError, UnreachableError: as in `recv`.
        """
        answer = yield from self._ask(checked_wait(True, timeout, forever=None), take=False)
        return answer.code != scripts.BUSY

    def _send(self, item: str) -> Steps[None]:
        self._used_by = os.getpid()
        code = yield from put_item(self._session, self._way(1 - self.end), item, 0.0)
        if code == scripts.GONE:
            raise self._closed_elsewhere()
        if code == scripts.BROKEN:
            raise BrokenPipeError(f"the other end of Pipe {self.name!r} is closed")

    def _receive(self, *, pickles: bool) -> Steps[str]:
        answer = yield from self._ask(None, take=True, pickles=pickles)
        if answer.code == scripts.ENDED:
            raise EOFError
        return answer.text

    def _ask(self, timeout: float | None, *, take: bool, pickles: bool = False) -> Steps[Answer]:
        self._check(self._readable, "connection is write-only")
        self._used_by = os.getpid()
        answer = yield from get_item(self._session, self._way(self.end), timeout, take=take, pickles=pickles)
        if answer.code == scripts.GONE:
            raise self._closed_elsewhere()
        return answer

    def _check(self, able: bool, otherwise: str) -> None:
        if self._closed:
            raise OSError("handle is closed")
        if not able:
            raise OSError(otherwise)

    def _closed_elsewhere(self) -> OSError:
        self._closed = True
        return OSError(f"handle is closed: this end of Pipe {self.name!r} was closed by another that has it")

    # --- the end ---

    @property
    def closed(self) -> bool:
        """Whether this handle was closed. Does not ask Redis."""
        return self._closed

    @property
    def readable(self) -> bool:
        """Whether this end receives."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether this end sends."""
        return self._writable

    @blocking
    def close(self) -> Steps[None]:
        """Close this end, for all that have it; the other end receives the messages that are left, and then EOFError.

        If this process has passed the end on, and has not sent or received through it, only this handle is closed: the
        end stays open elsewhere.

        Raises:
            NameTakenError, UnreachableError: as in `Queue.put`.
        """
        if self._closed:
            return
        elsewhere = self._passed_on or self._forks != _forks
        if not elsewhere or self._used_by == os.getpid():
            yield from self._session.checked()
            for way, part in self._ways():
                yield from queue_scripts.close(way, part)
        self._closed = True

    def _ways(self) -> list[tuple[Resource, End]]:
        """Return the ways that this end uses, each with the part that it has: "r" receives, "w" sends."""
        ways: list[tuple[Resource, End]] = []
        if self.duplex or self.end == 0:
            ways.append((self._way(self.end), "r"))
        if self.duplex or self.end == 1:
            ways.append((self._way(1 - self.end), "w"))
        return ways

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete the Pipe, with its messages and the note that its ends were closed. At its next use it begins anew."""
        yield from self._session.checked()
        for to in (0, 1):
            yield ("DEL", *queue_scripts.keys(self._way(to)))

    @blocking
    def statistics(self) -> Steps[ConnectionStatistics]:
        """Return how many messages wait in each direction, and which ends are closed. Two round trips."""
        yield from self._session.checked()
        incoming = yield from queue_scripts.look(self._way(self.end))
        outgoing = yield from queue_scripts.look(self._way(1 - self.end))
        return ConnectionStatistics(
            self.name,
            self.end,
            incoming.size,
            outgoing.size,
            "r" in incoming.closed or "w" in outgoing.closed,
            "w" in incoming.closed or "r" in outgoing.closed,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = " closed" if self._closed else ""
        return f"<interlock.{self.kind} {self.end} of Pipe {self.name!r}{closed}>"
