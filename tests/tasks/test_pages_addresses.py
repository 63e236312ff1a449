"""From where pages are fetched: public addresses, servers that prove who they are, and what a setting allows."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections import Counter

import pytest
from aiohttp.abc import AbstractResolver
from fetched import QUICK, fetch, outcome
from pages_server import PagesServer

from tasks.celery_app import environment
from tasks.pages import fetching, networks
from tasks.pages.fetching import Fetcher


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "100::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "fc00::1", "fd12::1", "fe80::1", "fe80::1%lo", "fec0::1",
        "ff02::1", "fd00:ec2::254", "127.1", "2130706433", "localhost", "",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused(address):
    assert not networks.allowed(address, ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "::ffff:1.1.1.1", "2606:4700:4700::1111"])
def test_public_address_is_allowed(address):
    assert networks.allowed(address, ())


def test_network_of_the_setting_is_allowed_and_no_other():
    several = environment.networks("10.1.0.0/16, fd00::/8,")
    assert all(networks.allowed(address, several) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"))
    assert not any(networks.allowed(address, several) for address in ("10.2.0.1", "fe80::1", "127.0.0.1"))


@pytest.fixture
def elsewhere():
    """A server at an address of this machine that is not allowed."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this machine has no 127.0.0.2")
    with PagesServer(host="127.0.0.2") as up:
        yield up


class Changing(AbstractResolver):
    """A name server that answers each time with the next of these, each a list of address and port."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address, port in self.answers.pop(0)
        ]

    async def close(self):
        pass


@pytest.fixture(params=[False, True], ids=["", "twin"])
def unguarded(request, monkeypatch):
    """Whether sockets are made for any address, as aiohttp does by itself."""
    if request.param:
        monkeypatch.setattr(fetching, "sockets", lambda _: None)
    return request.param


def test_address_that_is_not_allowed_is_never_connected_to(elsewhere, unguarded):
    (page,) = fetch(elsewhere.url("/page/1"))
    assert outcome(page) == ((200, None) if unguarded else (None, "refused address"))
    assert elsewhere.connections == unguarded


def test_redirect_does_not_get_around(server, elsewhere, unguarded):
    (page,) = fetch(server.url(f"/to?url={elsewhere.url('/page/1')}"))
    assert outcome(page) == ((200, None) if unguarded else (302, "refused address"))
    assert elsewhere.connections == unguarded


def test_name_that_is_resolved_anew_does_not_get_around(server, elsewhere, unguarded):
    async def main():
        resolver = Changing([("127.0.0.1", server.port)], [("127.0.0.2", elsewhere.port)])
        async with Fetcher(QUICK, resolver) as made:
            (first,) = await made.fetch(["http://rebinding.example:80/page/1?close=1"])
            made.session.connector.clear_dns_cache()
            (second,) = await made.fetch(["http://rebinding.example:80/page/1?close=1"])
            return first, second

    first, second = asyncio.run(main())
    assert outcome(first) == (200, None)
    assert outcome(second) == ((200, None) if unguarded else (None, "refused address"))
    assert elsewhere.connections == unguarded


def test_name_of_which_all_addresses_are_refused_is_refused():
    resolver = Changing([("127.0.0.2", 1), ("10.0.0.1", 1), ("192.168.0.1", 1)])
    (page,) = fetch("http://several.example/", resolver=resolver)
    assert outcome(page) == (None, "refused address")


def test_name_is_fetched_from_its_address_that_is_not_refused(server, elsewhere):
    resolver = Changing([("127.0.0.2", elsewhere.port), ("127.0.0.1", server.port)])
    (page,) = fetch("http://several.example/page/1", resolver=resolver)
    assert outcome(page) == (200, None)
    assert (server.connections, elsewhere.connections) == (1, 0)


def test_neither_proxies_nor_passwords_are_taken_from_the_environment(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (page,) = fetch(server.url("/page/1"))
    assert outcome(page) == (200, None)
    assert "Authorization" not in server.headers[0]


def certificate(folder):
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "1", "-subj", "/CN=pages", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_certificate_is_checked(tmp_path):
    key, cert = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    with PagesServer(context) as server:
        code = (
            "import asyncio; from tasks import fetch_pages; "
            f"print(*[page['error'] for page in asyncio.run(fetch_pages([{server.url('/page/1')!r}]))])"
        )
        trusting = {**os.environ, "SSL_CERT_FILE": str(cert), "INTERLOCK_FETCH_NETWORKS": "127.0.0.0/8"}
        said = subprocess.run(
            [sys.executable, "-X", "dev", "-c", code], env=trusting, capture_output=True, text=True, check=False
        )
        (page,) = fetch(server.url("/page/1"))
    assert said.stdout == "None\n", said.stderr
    assert "Unclosed" not in said.stderr
    assert "ResourceWarning" not in said.stderr
    assert outcome(page) == (None, "tls")
    assert "self-signed" in page["error"]["message"].replace("self signed", "self-signed")
    assert server.seen == Counter({"/page/1": 1})


@pytest.mark.parametrize("text", ["x", "10.0.0.0/33", "10.0.0.1/8", "127.0.0.1;::1", "true"])
def test_wrong_network_is_one_line(text):
    with pytest.raises(ValueError, match=r"^INTERLOCK_FETCH_NETWORKS must be networks such as .*, not '[^\n]*$"):
        environment.read({"INTERLOCK_FETCH_NETWORKS": text})


def test_nothing_private_is_allowed_by_default():
    assert environment.read({}).fetch_networks == ()
