"""A web server on loopback that takes 0.3 s for each page, and notes when."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 0.3  # that each page takes


class SlowServer:
    """Answers every request with an empty page, from a thread of this process, until the process ends.

    `stays` has, for each request that was answered, when it came and when it was answered, in seconds of one clock.
    """

    def __init__(self) -> None:
        self.stays: list[tuple[float, float]] = []
        stays = self.stays

        class Slow(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                began = time.monotonic()
                time.sleep(SECONDS)
                stays.append((began, time.monotonic()))
                self.send_response_only(200)
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        """Return the address of a page."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"
