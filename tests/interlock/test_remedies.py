"""An error names what it is about, and what helps: in one line."""

import asyncio
import os

import pytest
import redis
import redis.asyncio
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

import interlock
import interlock.aio
from interlock import address
from workers.local_stack import redis_server

FULL = "command not allowed when used memory > 'maxmemory'."


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- where a server was looked for ---


@pytest.mark.parametrize("redis_url", ["", "redis://127.0.0.1:1/0", None], ids=["unset", "elsewhere", "good"])
def test_client_that_leads_to_nobody_is_named_by_its_own_address(monkeypatch, redis_url):
    """REDIS_URL has nothing to do with it, wherever that leads."""
    if redis_url is not None:
        monkeypatch.setenv("REDIS_URL", redis_url)
    port = redis_server.free_port()
    client = redis.Redis(port=port, password="secret", retry=Retry(NoBackoff(), 0))
    with pytest.raises(interlock.UnreachableError) as caught:
        interlock.Lock(client=client).acquire()
    text = one_line(caught)
    assert f"no Redis answers at localhost:{port} (from client=)" in text
    assert text.endswith("; start it, or pass another client")
    assert "REDIS_URL" not in text
    assert "secret" not in text


def test_client_of_coroutines_and_of_a_socket_are_named_by_their_own_address(tmp_path):
    port = redis_server.free_port()

    async def ask():
        client = redis.asyncio.Redis(port=port)
        try:
            await interlock.aio.Lock(client=client).acquire()
        finally:
            await client.aclose()

    with pytest.raises(interlock.UnreachableError, match=rf"localhost:{port} \(from client=\).*pass another client"):
        asyncio.run(ask())
    socket = redis.Redis(unix_socket_path=str(tmp_path / "none.sock"))
    with pytest.raises(interlock.UnreachableError, match=r"unix://.*none.sock \(from client=\)"):
        interlock.Semaphore(client=socket).acquire()


def test_client_that_is_refused_is_told_of_the_client():
    """A database that does not exist, and a password that nobody asked for."""
    url = os.environ["REDIS_URL"]
    with pytest.raises(interlock.UnreachableError) as caught:
        interlock.Lock(client=redis.Redis.from_url(url.replace("/0", "/99"))).acquire()
    assert one_line(caught).endswith("; pass a client that it allows")
    assert "REDIS_URL" not in str(caught.value)


def test_default_client_is_told_of_redis_url(monkeypatch):
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{redis_server.free_port()}/0")
    with pytest.raises(
        interlock.UnreachableError, match=r"\(from REDIS_URL\).*; start one with `make up`, or set REDIS"
    ):
        interlock.Lock().acquire()


# --- what a server says that cannot serve ---


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
            "raise its maxmemory",
        ),
        (redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "raise its maxmemory"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "wait until it has read its data"),
        (redis.ConnectionError("max number of clients reached"), "raise its maxclients"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but"), "its log says why"),
        (redis.ReadOnlyError("You can't write against a read only replica."), "use its master's address"),
        (redis.exceptions.MasterDownError("Link with MASTER is down and"), "without its master"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "start its replicas"),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN The cluster is down"), "start the missing nodes"),
        (redis.ResponseError("BUSY Redis is busy running a script."), "SCRIPT KILL"),
        (redis.exceptions.NoPermissionError("User x has no permissions to run the 'info' command"), "ACL SETUSER"),
        (redis.AuthenticationError("Authentication required."), "set REDIS_URL to what it allows"),
        (redis.ResponseError("DB index is out of range"), "set REDIS_URL to what it allows"),
    ],
)
def test_server_that_refuses_is_said_what_would_help(error, remedy):
    """Another address helps only where the address is what is wrong."""
    for given in (False, True):
        text = address.unreachable("h:1", error, given=given)
        assert "refuses: " in text
        assert (remedy in text) == (not given or "REDIS_URL" not in remedy)
        assert ("set REDIS_URL" in text) == ("REDIS_URL" in remedy and not given)


def test_producer_at_a_full_server_is_told_that_it_is_full(client):
    """A real one: it has reached its maxmemory."""
    from tasks import print_square

    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(OperationalError) as caught:
            print_square.delay(1)
    finally:
        client.config_set("maxmemory", 0)
    text = one_line(caught)
    assert text.endswith("it is full: raise its maxmemory, or delete what nobody needs")
    assert "set REDIS_URL" not in text


# --- a name that stands for something else ---


def asked(make, *uses):
    with pytest.raises(interlock.NameTakenError) as caught:
        thing = make()
        for use in uses:
            use(thing)
    return one_line(caught)


def of_two(kind):
    """How to make one of two, or of three."""
    return lambda n: kind(n, name="n", ttl=60)


def of_type(kind):
    return lambda n: kind("iq"[n - 2], name="n", ttl=60)


CHANGES = {
    "Semaphore": (of_two(interlock.Semaphore), "acquire", "has 2 permits, not 3"),
    "BoundedSemaphore": (of_two(interlock.BoundedSemaphore), "acquire", "has 2 permits, not 3"),
    "Barrier": (of_two(interlock.Barrier), "abort", "is for 2 parties, not 3"),
    "Queue": (of_two(interlock.Queue), "get_nowait", "has maxsize 2, not 3"),
    "JoinableQueue": (of_two(interlock.JoinableQueue), "get_nowait", "has maxsize 2, not 3"),
    "RawValue": (of_type(interlock.RawValue), "", "has the type code 'i', not 'q'"),
    "Value": (of_type(interlock.Value), "", "has the type code 'i', not 'q'"),
    "RawArray": (lambda n: interlock.RawArray("i", n, name="n", ttl=60), "", "has 2 elements of type code 'i', not 3"),
    "Array": (lambda n: interlock.Array("i", n, name="n", ttl=60), "", "has 2 elements of type code 'i', not 3"),
}


def used(thing, method):
    if isinstance(thing, interlock.Queue):
        thing.put(1)
    if method:
        getattr(thing, method)()


@pytest.mark.parametrize(("make", "use", "said"), CHANGES.values(), ids=CHANGES)
def test_what_a_deploy_changed_is_said_how_to_change_it(make, use, said):
    """And that helps: after `unlink`, the name stands for what is made next."""
    before = make(2)
    used(before, use)
    text = asked(lambda: make(3), lambda thing: used(thing, use))
    assert said in text
    assert "to change it, unlink() it" in text
    assert "or choose a new name" in text
    before.unlink()
    after = make(3)
    used(after, use)
    after.unlink()


def test_name_of_another_kind_is_said_what_frees_it():
    with interlock.Lock(name="n"):
        client = redis.Redis.from_url(os.environ["REDIS_URL"])
        text = asked(lambda: interlock.RLock(name="n", client=client), lambda thing: thing.acquire(False))
        assert "is a Lock already, not a RLock: choose another name, or wait a day after its last use" in text
    event = interlock.Event(name="m", ttl=60)
    event.set()
    text = asked(lambda: interlock.Semaphore(2, name="m"), lambda thing: thing.acquire(False))
    assert "is a Event already, not a Semaphore: choose another name, or unlink() the Event" in text
    event.unlink()
    value = interlock.RawValue("i", 0, name="m", ttl=60)
    assert "or unlink() the value" in asked(lambda: interlock.RawArray("i", 1, name="m"))
    value.unlink()
    array = interlock.RawArray("i", 1, name="m", ttl=60)
    assert "or unlink() the array" in asked(lambda: interlock.RawValue("i", 1, name="m"))
    array.unlink()


@pytest.mark.parametrize("url", ["http://a\nb", "redis://h\n:1:2/x"])
def test_redis_url_with_a_line_end_is_refused_on_one_line(monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(ValueError, match="REDIS_URL must be") as caught:
        interlock.Lock().acquire()
    one_line(caught)
