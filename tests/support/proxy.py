"""A TCP proxy in front of a server that can lose replies, or change them."""

import contextlib
import os
import socket
import threading
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections; `lose_next_reply` makes it swallow the next reply and cut that connection.

    `change` is called with what the server sends, and returns what the client gets instead.
    """

    def __init__(self, url=None, change=lambda data: data):
        self.change = change
        self.target = ("127.0.0.1", urlsplit(url or os.environ["REDIS_URL"]).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lose = threading.Event()
        self.lost = 0
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        for each in self._sockets:
            with contextlib.suppress(OSError):  # closed by the other side already
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def lose_next_reply(self):
        self._lose.set()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            far = socket.create_connection(self.target)
            self._sockets += [near, far]
            for source, sink, replies in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._pump, args=(source, sink, replies), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source, sink, replies):
        while True:
            try:
                data = source.recv(65536)
                if replies and data and self._lose.is_set():
                    self._lose.clear()
                    self.lost += 1
                    data = b""
                if replies and data:
                    data = self.change(data)
                if not data:
                    source.shutdown(socket.SHUT_RDWR)
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)
            except OSError:
                return  # one side was closed
