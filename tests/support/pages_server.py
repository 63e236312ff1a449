"""Web servers on loopback, well-behaved and not, that note what is asked of them: what tests fetch pages from."""

import asyncio
import contextlib
import gzip
import threading
import zlib
from collections import Counter

from aiohttp import web

BOMBS = {"gzip": gzip.compress(bytes(50 * 2**20)), "deflate": zlib.compress(bytes(50 * 2**20))}  # of 50 KB


class PagesServer:
    """Two servers in a thread: `url` is of one that keeps to HTTP, `bad_url` of one that doesn't. Use it in a `with`.

    `seen` counts requests by path, `most` is how many were inside at once, `connections` how many were opened;
    `broken_off` names the paths whose client went away before the end, `sent` has the bytes of endless bodies.
    """

    def __init__(self, ssl=None, host="127.0.0.1"):
        self._ssl, self.host = ssl, host
        self.seen, self.broken_off = Counter(), []
        self.headers = []
        self.inside = self.most = self.connections = self.sent = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def url(self, path):
        return f"{'https' if self._ssl else 'http'}://{self.host}:{self.port}{path}"

    def bad_url(self, path):
        return f"http://{self.host}:{self.bad_port}{path}"

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._note])
        app.add_routes(
            web.get(path, handler)
            for path, handler in {
                "/page/{number}": self._page, "/status/{code}": self._status, "/to": self._to,
                "/hops/{left}": self._hops, "/circle/{at}": self._circle, "/endless": self._endless,
                "/promised": self._promised, "/bomb": self._bomb, "/size/{size}": self._sized,
            }.items()
        )  # fmt: skip
        runner = web.AppRunner(app, shutdown_timeout=0.1, handle_signals=False, handler_cancellation=True)
        await runner.setup()
        made = runner.server

        def counted():
            self.connections += 1
            return made()

        good = await self._loop.create_server(counted, self.host, 0, ssl=self._ssl)
        bad = await asyncio.start_server(self._misbehave, self.host, 0)
        self.port, self.bad_port = (each.sockets[0].getsockname()[1] for each in (good, bad))
        self._started.set()
        await self._end.wait()
        good.close()
        bad.close()
        await runner.cleanup()

    # --- by the rules ---

    @web.middleware
    async def _note(self, request, handler):
        self.seen[request.path] += 1
        self.headers.append(dict(request.headers))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self.broken_off.append(request.path)
            raise
        finally:
            self.inside -= 1

    async def _page(self, request):
        """A page that takes as long as is asked for, after as many as are asked for have been under way at once."""
        while self.most < int(request.query.get("at_once", 0)):
            await asyncio.sleep(0.005)
        await asyncio.sleep(float(request.query.get("delay", 0)))
        headers = {"Set-Cookie": "seen=1"} | ({"Connection": "close"} if "close" in request.query else {})
        return web.Response(text=f"page {request.match_info['number']}", headers=headers)

    async def _status(self, request):
        """The status so many times, then a page."""
        if self.seen[request.path] > int(request.query.get("times", 1_000)):
            return web.Response(text="at last")
        headers = {"Retry-After": request.query["after"]} if "after" in request.query else {}
        return web.Response(status=int(request.match_info["code"]), headers=headers)

    async def _to(self, request):
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def _hops(self, request):
        left = int(request.match_info["left"])
        return web.Response(status=307, headers={"Location": f"{left - 1}"}) if left else web.Response(text="there")

    async def _circle(self, request):
        there = {"a": "b", "b": "c", "c": "b"}[request.match_info["at"]]
        return web.Response(status=301, headers={"Location": f"/circle/{there}#again"})

    async def _endless(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))
            self.sent += 65536

    async def _promised(self, request):
        """A billion bytes are promised, and begun."""
        response = web.StreamResponse(headers={"Content-Length": "1000000000"})
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))
            await asyncio.sleep(0.01)

    async def _bomb(self, request):
        return web.Response(body=BOMBS[request.query["by"]], headers={"Content-Encoding": request.query["by"]})

    async def _sized(self, request):
        body = bytes(int(request.match_info["size"]))
        if "by" not in request.query:
            return web.Response(body=body)
        return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})

    # --- against them ---

    async def _misbehave(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()
                self.seen[path] += 1
                try:
                    await MISBEHAVIOURS[path](writer)
                    await writer.drain()
                except ConnectionError:
                    self.broken_off.append(path)
                    raise
        writer.close()  # the client has left, or the test has ended
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def saying(*lines, body=b"", status="200 OK"):
    """An answer after which the connection stays open."""
    text = "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body

    async def say(writer):
        writer.write(text)

    return say


def closing(say):
    async def say_and_close(writer):
        await say(writer)
        await writer.drain()
        writer.close()
        raise ConnectionAbortedError

    return say_and_close


async def reset(writer):
    writer.transport.abort()
    raise ConnectionAbortedError


async def silence(writer):
    await asyncio.sleep(60)


async def no_end_of_headers(writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # aiohttp reads 128 lines


async def one_byte_at_a_time(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def no_http(writer):
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


MISBEHAVIOURS = {
    "/reset": reset,
    "/silence": silence,
    "/slow-headers": no_end_of_headers,
    "/slow-body": one_byte_at_a_time,
    "/no-http": no_http,
    "/short": closing(saying("Content-Length: 100", body=b"too short")),
    "/long": saying("Content-Length: 5", body=b"hello, and what nobody asked for"),
    "/bad-length": saying("Content-Length: many", body=b"hello"),
    "/bad-chunk": saying("Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n"),
    "/not-gzip": saying("Content-Encoding: gzip", "Content-Length: 8", body=b"not gzip"),
    "/brotli": saying("Content-Encoding: br", "Content-Length: 5", body=b"hello"),
    "/long-header": saying(f"X: {'x' * 100_000}", "Content-Length: 0"),
    "/control": saying("Content-Type: text/\x1b[31mred", "Content-Length: 0"),
    "/bad-charset": saying("Content-Type: text/html; charset=no-such", "Content-Length: 2", body=b"\xff\xfe"),
    "/to-nowhere": saying("Location: http://[", "Content-Length: 0", status="302 Found"),
}
