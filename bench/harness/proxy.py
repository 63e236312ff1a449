"""A network between two machines: a TCP proxy that hands on every byte after a constant delay, in order.

A process of its own with one event loop. The loop waits by `select`, whose timeout is in microseconds; `epoll`'s is in
milliseconds, which would round a delay of 1.3 ms up to 2.
"""

import asyncio
import contextlib
import multiprocessing
import selectors
import signal
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import cast

from bench.harness.server import HOST

READY_WITHIN = 15.0  # seconds


class _End(asyncio.Protocol):
    """One of the two connections that make one; what it reads leaves by the other after the delay."""

    def __init__(self, delay: float) -> None:
        self.delay = delay  # seconds
        self.loop = asyncio.get_running_loop()
        self.late: deque[bytes] = deque()  # read, and not yet handed on; b"": the end
        self.transport: asyncio.Transport
        self.other: _End

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.late.append(data)
        self.loop.call_later(self.delay, self._hand_on)

    def connection_lost(self, _: Exception | None) -> None:
        self.data_received(b"")

    def _hand_on(self) -> None:
        data = self.late.popleft()  # the oldest, whichever timer this is: two that are due at once have no order
        if data:
            self.other.transport.write(data)
        else:
            self.other.transport.close()


class _Near(_End):
    """The end that the client has connected to. It reads when the server's end is connected, too."""

    def __init__(self, delay: float, port: int) -> None:
        super().__init__(delay)
        self.port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self.connecting = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            _, self.other = await self.loop.create_connection(lambda: _End(self.delay), HOST, self.port)
        except OSError:  # the server has ended
            self.transport.abort()
            return
        self.other.other = self
        self.transport.resume_reading()


def _serve(pipe: Connection, port: int, delay: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the pipe says when
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    listening = loop.run_until_complete(loop.create_server(lambda: _Near(delay, port), HOST, 0))
    pipe.send(listening.sockets[0].getsockname()[1])
    loop.add_reader(pipe.fileno(), loop.stop)
    loop.run_forever()


@contextlib.contextmanager
def proxy(port: int, delay: float) -> Iterator[int]:
    """A proxy in front of that port of the loopback address; its own port.

    Args:
        port: where the server listens.
        delay: seconds each way, besides what the proxy itself takes.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, port, delay), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(READY_WITHIN):
            raise RuntimeError("the proxy did not start")
        yield ours.recv()
    finally:
        ours.close()
        process.join(5)
        process.kill()
        process.join()
