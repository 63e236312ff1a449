"""A task fetches twenty pages, each of which takes its server 0.3 s, and never more than four at once from one host.

Run:      INTERLOCK_FETCH_NETWORKS=127.0.0.0/8 make up, then in another terminal: python -m examples.pages
You see:  what came of each page, and how many requests the server had at once.
Caveat:   the server runs here, on loopback. Workers fetch from there only if that variable allows it.
"""

from examples._claims import at_most_four_at_once
from examples._runner import conclude
from examples._slow_server import SlowServer
from tasks import fetch_pages, watch

if __name__ == "__main__":
    server = SlowServer()

    pages, _ = watch(fetch_pages.delay([server.url(f"/{n}") for n in range(20)]))
    for page in pages:
        print(page["url"], page["status"], page["error"] or "")
    conclude(at_most_four_at_once(pages, server.stays))
