"""Imitate a network between two machines: a TCP proxy that hands on every byte after a constant delay, in order.

The proxy is a process of its own with one event loop. The loop waits by `select`, whose timeout is in microseconds;
`epoll`'s is in milliseconds, and would round a delay of 1.3 ms up to 2.
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
    """One end of the proxy, to the client or to the server. What it reads, the other end sends after the delay."""

    def __init__(self, delay: float) -> None:
        self.delay = delay  # seconds
        self.loop = asyncio.get_running_loop()
        self.late: deque[bytes] = deque()  # what was read and is not yet handed on; b"" stands for the end
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
        data = self.late.popleft()  # the oldest: two timers that are due at once come in any order
        if data:
            self.other.transport.write(data)
        else:
            self.other.transport.close()


class _Near(_End):
    """The end that the client has connected to; it begins to read when the other end is connected to the server."""

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the proxy ends when its pipe does
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    listening = loop.run_until_complete(loop.create_server(lambda: _Near(delay, port), HOST, 0))
    pipe.send(listening.sockets[0].getsockname()[1])
    loop.add_reader(pipe.fileno(), loop.stop)
    loop.run_forever()


@contextlib.contextmanager
def proxy(port: int, delay: float) -> Iterator[int]:
    """Run a proxy in front of a port of the loopback address; yield the proxy's port.

    Args:
        port: where the server listens.
        delay: seconds each way, besides the time that the proxy itself takes.
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
