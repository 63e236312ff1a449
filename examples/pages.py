"""Twenty pages, each of which takes its server 0.3 s: at the same time, but never more than four at once from one host.

Run:      INTERLOCK_FETCH_NETWORKS=127.0.0.0/8 make up, then in another terminal: python -m examples.pages
You see:  what came of each page, and how many requests the server saw at once.
Caveat:   the server runs here, on loopback, from where workers fetch only if that variable allows it.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from examples._verdict import conclude
from tasks import fetch_pages, watch
from tasks.support import clock

stays: list[tuple[float, float]] = []


class SlowPages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        began = time.monotonic()
        time.sleep(0.3)
        stays.append((began, time.monotonic()))
        self.send_response_only(200)
        self.end_headers()


def main() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowPages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages, _ = watch(fetch_pages.delay([f"http://127.0.0.1:{server.server_port}/{n}" for n in range(20)]))
    for page in pages:
        print(page["url"], page["status"], page["error"] or "")
    most = clock.most_at_once(stays)
    held = all(page["error"] is None for page in pages) and 1 < most <= 4
    return conclude(f"{most} at once", "at most 4 at once, and more than 1", held, tasks=1, processes=[])


if __name__ == "__main__":
    sys.exit(main())
