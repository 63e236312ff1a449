"""One task fetches all that can be wrong with a page: each is an entry of its result, and none spoils another."""

import hashlib

import pytest
from fetched import fetch, outcome
from pages_server import MISBEHAVIOURS, PagesServer

BAD = {
    # path: (status, kind of error, attempts)
    "/reset": (None, "disconnected", 2),
    "/silence": (None, "timeout", 2),
    "/slow-headers": (None, "timeout", 2),
    "/slow-body": (200, "timeout", 2),
    "/no-http": (None, "malformed", 1),
    "/short": (200, "disconnected", 2),
    "/long": (None, "malformed", 1),
    "/bad-length": (None, "malformed", 1),
    "/bad-chunk": (None, "malformed", 1),
    "/not-gzip": (200, "encoding", 1),
    "/brotli": (None, "malformed", 1),  # which was not asked for
    "/long-header": (None, "malformed", 1),
    "/control": (200, None, 1),
    "/bad-charset": (200, None, 1),  # nobody reads the text
    "/to-nowhere": (302, "redirects", 1),
}
STRANGE = {
    "/circle/a": (301, "redirects", 1),
    "/hops/3": (200, None, 1),
    "/hops/11": (307, "redirects", 1),
    "/endless": (200, "too large", 1),
    "/promised": (200, "too large", 1),
    "/bomb?by=gzip": (200, "too large", 1),
    "/bomb?by=deflate": (200, "too large", 1),
    "/size/100000": (200, None, 1),
    "/size/100001": (200, "too large", 1),
    "/size/100000?by=gzip": (200, None, 1),
    "/size/100001?by=gzip": (200, "too large", 1),
    "/status/404": (404, "status", 1),
    "/status/500": (500, "status", 1),
    "/to?url=ftp://127.0.0.1/": (302, "redirects", 1),
    "/to?url=http://user:secret@127.0.0.1/": (302, "redirects", 1),
    "/to?url=http://169.254.169.254/": (302, "refused address", 1),
    "/to?url=http://[::ffff:10.0.0.1]/": (302, "refused address", 1),
    "/to?url=http://127.2/": (302, "bad url", 1),
    "/page/1": (200, None, 1),
}
NOWHERE = {
    "http://127.0.0.1:1/": ("connect", 2),
    "http://no-such-host.invalid/": ("unknown host", None),  # again, if the machine knows no name server
    "http://127.1/": ("bad url", 1),
    "http://2130706433/": ("bad url", 1),
    "http://0x7f000001:1/": ("connect", 2),  # which the resolver takes for 127.0.0.1
    "http://0/": ("bad url", 1),
    "http://0.0.0.0/": ("refused address", 1),
    "http://127.0.0.2/": ("refused address", 1),
    "http://169.254.169.254/latest/meta-data/": ("refused address", 1),
    "http://[::1]/": ("refused address", 1),
    "http://[::ffff:127.0.0.2]/": ("refused address", 1),
    "http://[fe80::1%25lo]/": ("bad url", 0),
    "http://a..b/": ("bad url", 1),
    "http://a{b}/": ("bad url", 0),
    "http://user:secret@127.0.0.1/": ("bad url", 0),
    "http://127.0.0.1:99999/": ("bad url", 0),
    "http://": ("bad url", 0),
    "ftp://127.0.0.1/": ("bad url", 0),
    "file:///etc/passwd": ("bad url", 0),
    "//127.0.0.1/": ("bad url", 0),
    "": ("bad url", 0),
    "\x00": ("bad url", 0),
}


@pytest.fixture(scope="module")
def all_at_once():
    """One task with every page of the tables: page by path."""
    assert {*BAD} == {*MISBEHAVIOURS}
    with PagesServer() as up:
        urls = [*map(up.bad_url, BAD), *map(up.url, STRANGE), f"https://127.0.0.1:{up.port}/", *NOWHERE]
        pages = fetch(*urls)
        assert [page["url"] for page in pages] == urls
        up.pages = dict(zip([*BAD, *STRANGE, "plain", *NOWHERE], pages, strict=True))
        yield up


@pytest.mark.parametrize("path", [*BAD, *STRANGE])
def test_each_answer_has_a_clear_result(all_at_once, path):
    page = all_at_once.pages[path]
    status, kind, attempts = {**BAD, **STRANGE}[path]
    assert (*outcome(page), page["attempts"]) == (status, kind, attempts)
    assert (page["size"] is None) == (page["sha256"] is None) == (kind not in (None, "status"))
    if kind:
        assert 0 < len(page["error"]["message"]) <= 200
        assert page["error"]["message"].isprintable()
        assert "secret" not in page["error"]["message"]


@pytest.mark.parametrize("url", NOWHERE)
def test_each_url_that_leads_nowhere_has_a_clear_result(all_at_once, url):
    page = all_at_once.pages[url]
    kind, attempts = NOWHERE[url]
    assert outcome(page) == (None, kind)
    assert page["attempts"] == attempts or attempts is None
    assert page["error"]["message"].isprintable()
    assert "secret" not in page["error"]["message"]


def test_page_is_described_by_its_facts(all_at_once):
    page = all_at_once.pages["/page/1"]
    assert page == {
        "url": all_at_once.url("/page/1"),
        "final_url": all_at_once.url("/page/1"),
        "status": 200,
        "content_type": "text/plain; charset=utf-8",
        "size": 6,
        "sha256": hashlib.sha256(b"page 1").hexdigest(),
        "seconds": page["seconds"],
        "attempts": 1,
        "error": None,
    }


def test_redirects_lead_to_the_last_url(all_at_once):
    assert all_at_once.pages["/hops/3"]["final_url"] == all_at_once.url("/hops/0")
    assert all_at_once.pages["/circle/a"]["final_url"] == all_at_once.url("/circle/c")


def test_circle_and_a_promise_too_large_are_told_as_such(all_at_once):
    said = {path: all_at_once.pages[path]["error"]["message"] for path in ("/circle/a", "/promised")}
    assert said["/circle/a"] == f"redirects in a circle: to {all_at_once.url('/circle/b')} again"
    assert said["/promised"] == "1,000,000,000 bytes, where 100,000 are allowed"


def test_connection_that_breaks_is_tried_again_and_no_more(all_at_once):
    assert all_at_once.seen["/short"] == all_at_once.seen["/slow-body"] == 2
    assert 2 <= all_at_once.seen["/reset"] <= 4  # aiohttp itself asks once more when a GET is not answered at all
    assert all_at_once.seen["/no-http"] == all_at_once.seen["/not-gzip"] == all_at_once.seen["/status/404"] == 1
