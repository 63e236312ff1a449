"""What a client's user may not do is told at first use, in one line that says how to grant it."""

import re
import threading
import time

import pytest
import redis
from cluster import Cluster
from peers import wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry

import interlock
from interlock._protocol import rights
from workers.local_stack import redis_server

ALL = "~* &* +@all"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of its own; the client of its administrator."""
    port = redis_server.free_port()
    child = redis_server.start(tmp_path_factory.mktemp("redis"), port)
    with redis.Redis(port=port, decode_responses=True, retry=Retry(NoBackoff(), 0)) as admin:
        yield admin
    child.stop(0)


@pytest.fixture
def as_user(server):
    """Makes a user with such rights; a client of it."""
    clients = []

    def make(rules):
        server.execute_command(f"ACL SETUSER somebody reset on >secret {rules}")
        server.execute_command("ACL LOG RESET")
        port = server.connection_pool.connection_kwargs["port"]
        clients.append(redis.Redis(port=port, username="somebody", password="secret"))
        return clients[-1]

    yield make
    server.execute_command(f"ACL SETUSER somebody reset on >secret {ALL}")
    interlock.close()
    server.flushdb()
    server.execute_command("ACL DELUSER somebody")


def denied(server):
    """What the server's log says was refused."""
    return sorted({entry["object"] for entry in server.acl_log()})


@pytest.mark.parametrize(
    ("rules", "right"),
    [
        ("~* +@all resetchannels", "&interlock:session:*"),
        (f"{ALL} resetchannels &other:*", "&interlock:session:*"),
        (f"{ALL} -script", "+script|load"),
        (f"{ALL} -script|load", "+script|load"),
        (f"{ALL} -eval", "+eval"),
        (f"{ALL} -evalsha", "+evalsha"),
        (f"{ALL} -@scripting", "+script|load +evalsha +eval"),
        (f"{ALL} -publish", "+publish"),
        (f"{ALL} -subscribe", "+subscribe"),
        (f"{ALL} -@pubsub", "+publish +subscribe"),
        (f"{ALL} -time", "+time"),
        (f"{ALL} -zadd -hset", "+hset +zadd"),
        (f"{ALL} -del", "+del"),
        ("~other:* &* +@all", "~interlock:*"),
        ("&* +@all", "~interlock:*"),
    ],
)
def test_right_that_is_missing_is_told_at_first_use(server, as_user, rules, right):
    """Within a round trip or two, and nothing has been changed."""
    lock = interlock.Lock(name="l", client=as_user(rules))
    began = time.monotonic()
    with pytest.raises(interlock.RefusedError) as caught:
        lock.acquire()
    assert time.monotonic() - began < 4.0  # a listener that hears nothing would take 5
    text = str(caught.value)
    assert f"`ACL SETUSER somebody {right}`" in text
    assert "docs/reference/rights.md" in text
    assert "secret" not in text
    assert "\n" not in text
    assert not server.keys()


def test_granting_what_the_error_names_is_enough(server, as_user):
    """Right by right, from a user who may do nothing."""
    client = as_user("nopass")
    for _ in range(5):
        try:
            with interlock.Lock(name="l", client=client):
                break
        except interlock.RefusedError as error:
            server.execute_command(re.search("`(ACL .*)`", str(error))[1])
    else:
        pytest.fail("there was always another right missing")
    with interlock.Semaphore(2, name="s", client=client), interlock.RWLock(name="rw", client=client).writer:
        interlock.Queue(name="q", client=client).put(1)


@pytest.mark.parametrize("command", ["hset", "zadd", "publish", "evalsha", "subscribe", "getex", "lpop"])
def test_check_of_rights_misses_none(server, as_user, command):
    """The check itself is checked: it finds each of these, and finds nothing where nothing is missing."""
    assert rights.missing(as_user(ALL), "interlock:{x}:rights") == []
    assert denied(server) == []
    assert rights.missing(as_user(f"{ALL} -{command}"), "interlock:{x}:rights") == [f"+{command}"]


def test_check_tries_every_command_that_the_scripts_call():
    """A script that begins to use another command must have it checked, too."""
    folder = rights.files("interlock._protocol") / "lua"
    tried = set(re.findall(r"'([A-Z]+)'", (folder / "rights_check.lua").read_text()))
    called = set()
    for file in folder.iterdir():
        called |= set(re.findall(r"redis\.p?call\('([A-Z]+)'", file.read_text()))
    assert called
    assert called <= tried


def test_user_who_may_not_ask_for_info_works(server, as_user, caplog):
    """A managed Redis keeps INFO, CONFIG and ACL to itself: the version comes with HELLO."""
    client = as_user(f"{ALL} -info -config -acl -client -@dangerous")
    with interlock.Lock(name="l", client=client):
        pass
    assert "may not call INFO" in caplog.text


def test_prefix_narrows_keys_and_channels(monkeypatch, server, as_user):
    monkeypatch.setenv("INTERLOCK_PREFIX", "app:")
    client = as_user("~app:interlock:* &app:interlock:session:* +@all")
    with interlock.Lock(name="l", client=client):
        pass
    with pytest.raises(interlock.RefusedError, match=r"~app:interlock:\*"):
        interlock.Lock(name="l", client=as_user("~interlock:* &app:interlock:session:* +@all")).acquire()


def test_release_without_the_right_to_publish_any_more_takes_effect(server, as_user):
    """The waiter, whom no message reaches, asks again within a second."""
    client = as_user(ALL)
    lock = interlock.Lock(name="l", client=client, linger=0)
    lock.acquire()
    entered = threading.Event()

    def wait():
        with interlock.Lock(name="l", client=client, linger=0):
            entered.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: lock.statistics().waiters)
    server.execute_command("ACL SETUSER somebody -publish")
    lock.release()
    assert entered.wait(15)
    waiter.join(15)


def test_rights_are_checked_on_every_node_of_a_cluster():
    with Cluster(3) as three:
        for node in three.primaries[1:]:
            node.client.execute_command(f"ACL SETUSER somebody on >secret {ALL}")
        three.primaries[0].client.execute_command(f"ACL SETUSER somebody on >secret {ALL} -publish")
        client = redis.RedisCluster(
            port=three.primaries[1].port, host="127.0.0.1", username="somebody", password="secret"
        )
        with pytest.raises(interlock.RefusedError, match=rf"{three.primaries[0].port} .*\+publish"):
            interlock.Lock(client=client).acquire()
        three.primaries[0].client.execute_command("ACL SETUSER somebody +publish")
        with interlock.Lock(client=client):
            pass
        interlock.close()
