"""The transport by itself: what its scripts keep, whatever the order in which consumers come, stop and go on."""

import json
import time
import uuid
from hashlib import sha1

import pytest
from awkward_tasks import counted
from peers import plain, wait_until
from queue_workers import queue_worker
from raw_messages import message as as_celery_sends
from sweeps import sweep_again

from tasks import app, print_square
from tasks.transport import dead_letters, scripts
from tasks.transport.channel import reason_of

QUEUE = "cpu"


@pytest.fixture
def client():
    with plain() as each:
        yield each


class Consumer:
    """A connection that takes messages by hand, and renews nothing until it is told."""

    def __init__(self):
        self.connection = app.connection_for_read()
        self.channel = self.connection.default_channel
        self.deliveries = self.channel.deliveries
        self.deliveries.renewable = lambda _: set()
        sweep_again(self.deliveries)

    def take(self):
        return self.channel.basic_get(QUEUE)

    def close(self):
        self.deliveries.renewable = lambda tokens: tokens
        self.connection.close()


@pytest.fixture
def consumer():
    each = Consumer()
    yield each
    each.close()


def send(count=1, **options):
    return [print_square.apply_async((number,), **options).id for number in range(count)]


def vanish(client):
    """End the leases of all deliveries, as if their workers had vanished a while ago."""
    for token in client.zrange("unacked_deadlines", 0, -1):
        client.zadd("unacked_deadlines", {token: 1})


def back(client, count=1):
    wait_until(lambda: client.llen(QUEUE) == count, within=20, what="the return")


def test_message_is_in_its_queue_or_a_delivery_at_each_moment(client, consumer):
    """The script is one step: a monitor sees no command of another client between its reading and its note."""
    send(3)
    taken = [consumer.take() for _ in range(3)]
    assert client.hlen("unacked") == client.zcard("unacked_deadlines") == 3
    for message in taken:
        message.ack()
    wait_until(lambda: not client.hlen("unacked"), what="the acknowledgements")
    assert not client.zcard("unacked_deadlines")


def test_messages_come_in_order_and_by_priority(consumer):
    first, second = send(2)
    (urgent,) = send(priority=9)
    (late,) = send()
    assert [consumer.take().headers["id"] for _ in range(4)] == [first, second, late, urgent], "0 is the highest"


def test_message_of_a_plain_producer_is_found(client, consumer):
    (id,) = send()
    raw = client.rpop(QUEUE)
    client.delete(f"{QUEUE}:wake")
    client.lpush(QUEUE, raw)
    assert consumer.take().headers["id"] == id


def test_late_acknowledgement_leaves_the_next_delivery_alone(client, consumer):
    (id,) = send()
    late = consumer.take()
    vanish(client)
    back(client)
    again = consumer.take()
    assert again.headers["id"] == id
    assert again.delivery_info["redelivered"]
    late.ack()
    wait_until(lambda: not consumer.deliveries.unsent, what="the late acknowledgement")
    assert client.hlen("unacked") == 1
    again.ack()
    wait_until(lambda: not client.hlen("unacked"), what="the right one")
    assert not client.exists("unacked_returns")


def test_renewal_brings_nothing_back_to_life(client, consumer):
    send()
    message = consumer.take()
    token = message.delivery_tag
    assert consumer.deliveries.renew(consumer.channel.plain_client, [token]) == set()
    message.ack()
    wait_until(lambda: not client.hlen("unacked"), what="the acknowledgement")
    assert consumer.deliveries.renew(consumer.channel.plain_client, [token]) == {token}
    assert not client.zcard("unacked_deadlines")


def test_message_whose_workers_vanish_becomes_a_dead_letter_and_can_be_replayed(client, consumer):
    (id,) = send()
    for _ in range(consumer.deliveries.limits.deliveries_max - 1):
        consumer.take()
        vanish(client)
        back(client)
    consumer.take()
    vanish(client)
    wait_until(lambda: client.llen("dead-letters") == 1, within=20, what="the dead letter")
    assert not client.llen(QUEUE)
    assert not client.hlen("unacked")
    (letter,) = dead_letters.read(consumer.channel.plain_client, consumer.channel.keys)
    assert (letter.id, letter.task) == (id, print_square.name)
    assert len(letter.fields["deliveries"]) == 5
    assert all(returned >= taken for _, taken, returned in letter.fields["deliveries"])
    assert dead_letters.replay(consumer.channel.plain_client, consumer.channel.keys, letter)
    assert not dead_letters.replay(consumer.channel.plain_client, consumer.channel.keys, letter), "only once"
    again = consumer.take()
    assert again.headers["id"] == id
    assert not again.delivery_info.get("redelivered"), "it is counted anew"


def test_message_that_is_given_back_is_next_and_counts_as_no_delivery(client, consumer):
    first, _ = send(2)
    for _ in range(7):
        message = consumer.take()
        assert message.headers["id"] == first
        message.reject(requeue=True)
        wait_until(lambda: client.llen(QUEUE) == 2, what="its return")
    assert not client.exists("unacked_returns")


def test_message_that_comes_while_a_channel_closes_goes_back(client, consumer):
    """Its consumer would forget it, and the process would renew it for ever."""
    received = []
    send()
    consumer.channel.basic_consume(QUEUE, no_ack=False, callback=received.append, consumer_tag="one")
    consumer.channel.connection.cycle._register_BRPOP(consumer.channel)
    wait_until(lambda: client.hlen("unacked") == 1, what="the request")
    consumer.channel.close()
    wait_until(lambda: client.llen(QUEUE) == 1 and not client.hlen("unacked"), what="the return")
    assert received == []


def test_answers_come_one_by_one(consumer):
    """Who has asked so many workers drains so many times: two answers at once would have it wait for one more."""
    received = []
    send(3)
    consumer.channel.basic_consume(QUEUE, no_ack=True, callback=received.append, consumer_tag="one")
    for count in (1, 2, 3):
        consumer.connection.drain_events(timeout=10)
        assert len(received) == count


def test_clock_that_jumps_takes_nothing_from_who_lives(client, consumer):
    """The sweep sees that nobody swept for an hour: consumers get the time to renew first."""
    send()
    consumer.take()
    vanish(client)
    client.hset("unacked_sweeps", "last", int(time.time() * 1000) - 3_600_000)
    consumer.deliveries.renewable = lambda tokens: tokens
    consumer.deliveries._renew_at = time.monotonic() + 0.5  # before the time that it is given
    wait_until(lambda: client.zscore("unacked_deadlines", client.hkeys("unacked")[0]) > 1, within=20, what="renewal")
    assert not client.llen(QUEUE)


def test_deadline_beyond_what_a_clock_can_have_set_is_brought_back(client, consumer):
    send()
    consumer.take()
    (token,) = client.hkeys("unacked")
    client.zadd("unacked_deadlines", {token: int(time.time() * 1000) + 86_400_000})
    limit = (time.time() + consumer.deliveries.limits.timeout + 5) * 1000
    wait_until(lambda: client.zscore("unacked_deadlines", token) < limit, within=20, what="the sweep")


def test_queue_of_a_wrong_type_holds_up_no_other(client, consumer, caplog):
    client.set(f"{QUEUE}:3", "no list")
    (id,) = send()
    assert consumer.take().headers["id"] == id
    assert consumer.take() is None
    assert f"queue {QUEUE}:3 cannot be used" in caplog.text


@pytest.mark.parametrize("key", [f"{QUEUE}:wake", f"{QUEUE}:3", "unacked", "unacked_deadlines"])
def test_worker_outlives_a_key_of_a_wrong_type_and_goes_on(tmp_path, client, key):
    """It says so, and takes the task when the key is gone."""
    with queue_worker(tmp_path, QUEUE, include="tasks") as worker:
        client.delete(key)
        client.set(key, "of another type")
        result = print_square.delay(3)
        wait_until(lambda: "WRONGTYPE" in worker.log() or result.ready(), what="the refusal")
        client.delete(key)
        assert result.get(timeout=60)["square"] == 9
        assert worker.poll() is None


def test_delayed_messages_wait_in_redis_and_come_in_time(client, consumer):
    now = time.time()
    far, soon = send(countdown=86_400)[0], send(countdown=2.0)[0]
    assert client.llen(QUEUE) == 0
    assert client.zcard("delayed") == 2
    wait_until(lambda: consumer.deliveries.begin() or client.llen(QUEUE), within=20, what="the one that is due")
    assert 1.9 < time.time() - now < 10
    assert consumer.take().headers["id"] == soon
    assert client.zcard("delayed") == 1
    assert far in client.zrange("delayed", 0, -1)[0]


def test_delayed_message_of_a_queue_that_cannot_take_it_waits(client, consumer):
    consumer.deliveries.begin()
    client.set(QUEUE, "no list")
    client.zadd("delayed", {scripts.where(QUEUE, f"{QUEUE}:wake") + "\nbody": 1})
    wait_until(lambda: client.zscore("delayed", client.zrange("delayed", 0, 0)[0]) > 1, within=20, what="the sweep")


def test_batch_puts_messages_on_their_queues_and_delays_others(client, consumer):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        print_square.apply_async((1,), producer=producer)
        print_square.apply_async((2,), producer=producer, countdown=3600)
        assert client.llen(QUEUE) == 0, "it is a batch"
    assert (client.llen(QUEUE), client.zcard("delayed")) == (1, 1)
    assert consumer.take() is not None


def test_delayed_entry_that_names_no_queue_holds_up_no_other(client, consumer, caplog):
    consumer.deliveries.begin()
    client.zadd("delayed", {"neither": 1, "5\nnor": 2, '["cpu"]\nnor': 3})
    (id,) = send(countdown=2)
    wait_until(lambda: client.llen(QUEUE), within=20, what="the one that is due")
    assert consumer.take().headers["id"] == id
    assert caplog.text.count("was dropped") == 3


@pytest.mark.parametrize("id", ["odd\ud800id", "plain"])
@pytest.mark.parametrize("task", ["no.such.\ud800task", "no.such.task"])
def test_odd_message_is_buried_and_stops_no_renewal(tmp_path, client, id, task):
    """A half of a surrogate pair, which JSON in Lua does not hold: the task beside it is renewed, and begins once."""
    few = {"INTERLOCK_VISIBILITY_SECONDS": "2"}
    with queue_worker(tmp_path, "io", include="tasks,awkward_tasks", concurrency=2, **few) as worker:
        result = counted.apply_async((5.0,), queue="io")
        wait_until(lambda: client.llen("begun"), what="its start")
        client.lpush("io", json.dumps(as_celery_sends("io", id, headers={"task": task, "id": id})))
        wait_until(lambda: client.llen("dead-letters") == 1, what="the letter")
        assert result.get(timeout=60) == result.id
        assert client.llen("begun") == client.llen("dead-letters") == 1
        wait_until(lambda: not client.hlen("unacked"), what="all acknowledgements")
        assert worker.poll() is None


def test_letter_that_is_no_text_is_read_as_it_is(client, consumer):
    raw = (
        json.dumps(as_celery_sends(QUEUE, "odd", headers={"task": "no.such"})).encode().replace(b"no.such", b"no.\xff")
    )
    client.lpush(QUEUE, raw)
    message = consumer.take()
    consumer.deliveries.bury(message.delivery_tag, reason_of(ValueError("odd")))
    wait_until(lambda: client.exists("dead-letters"), what="the letter")
    (letter,) = dead_letters.read(consumer.channel.plain_client, consumer.channel.keys)
    assert letter.message == raw
    assert dead_letters.replay(consumer.channel.plain_client, consumer.channel.keys, letter)


def test_item_that_is_no_message_is_buried_as_it_is(client, consumer):
    with plain() as raw:
        raw.lpush(QUEUE, b"\xff\xfe")
    assert consumer.take() is None
    wait_until(lambda: client.llen("dead-letters"), what="the letter")
    (letter,) = dead_letters.read(consumer.channel.plain_client, consumer.channel.keys)
    assert letter.message == b"\xff\xfe"
    assert dead_letters.delete(consumer.channel.plain_client, consumer.channel.keys, letter)
    assert not client.exists("dead-letters")


def test_dead_letters_are_bounded(client, consumer, caplog):
    limits = consumer.deliveries.limits
    client.lpush("dead-letters", *(json.dumps({"reason": str(n)}) for n in range(limits.letters_max)))
    client.lpush(QUEUE, f"no message {uuid.uuid4()}")
    assert consumer.take() is None
    wait_until(lambda: "dropped" in caplog.text, what="the warning")
    assert client.llen("dead-letters") == limits.letters_max
    assert client.pttl("dead-letters") > 0


# --- safety, each check against a broken twin of a script ---


def a_vanished_consumers_message_comes_back(client, consumer):
    send()
    consumer.take()
    vanish(client)
    wait_until(lambda: client.llen(QUEUE) == 1, within=5, what="the return")


def a_renewed_message_stays(client, consumer):
    """It is renewed after its deadline, and before the sweep."""
    send()
    message = consumer.take()
    vanish(client)
    assert consumer.deliveries.renew(consumer.channel.plain_client, [message.delivery_tag]) == set()
    consumer.deliveries._sweep(consumer.channel.plain_client)
    assert not client.llen(QUEUE)


def a_settled_message_stays_settled(client, consumer):
    send()
    message = consumer.take()
    message.ack()
    wait_until(lambda: not client.hlen("unacked"), what="the acknowledgement")
    consumer.deliveries.renew(consumer.channel.plain_client, [message.delivery_tag])
    assert not client.zcard("unacked_deadlines")


def a_full_server_loses_nothing(client, consumer):
    send()
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Exception, match=r"OOM|maxmemory"):
            consumer.take()
    finally:
        client.config_set("maxmemory", "0")
    assert client.llen(QUEUE) == 1


def consumers_wake_each_other(client, consumer):
    """Who takes less than there is leaves a mark for the next one."""
    send(2)
    client.delete(f"{QUEUE}:wake")
    consumer.take()
    assert client.exists(f"{QUEUE}:wake")


def deliveries_are_bounded(client, consumer):
    send()
    for _ in range(consumer.deliveries.limits.deliveries_max):
        assert consumer.take() is not None
        vanish(client)
        consumer.deliveries._sweep(consumer.channel.plain_client)
    assert client.llen("dead-letters") == 1


def a_delayed_message_is_moved_once(client, consumer):
    send(countdown=3600)
    client.zadd("delayed", {client.zrange("delayed", 0, 0)[0]: 1})
    for _ in range(2):
        consumer.deliveries._sweep(consumer.channel.plain_client)
    assert client.llen(QUEUE) == 1


OUT_OF_ORDER = """    redis.call('RPOP', list)
    if ARGV[5] == 'noted' then"""
TWINS = {
    "notes nothing": ("take", "ARGV[5] == 'noted'", "false", a_vanished_consumers_message_comes_back),
    "takes before it notes": ("take", "    if ARGV[5] == 'noted' then", OUT_OF_ORDER, a_full_server_loses_nothing),
    "wakes nobody": ("take", "EXISTS', list) == 0", "EXISTS', list) == 2", consumers_wake_each_other),
    "revives what is settled": ("renew", "'XX', until_", "until_", a_settled_message_stays_settled),
    "forgets the deadline": ("renew", "'XX', until_", "'XX', 1", a_renewed_message_stays),
    "never returns": ("sweep", "if now >= not_before", "if false", a_vanished_consumers_message_comes_back),
    "counts nothing": ("sweep", "cjson.encode(returns))\n", "'[]')\n", deliveries_are_bounded),
    "leaves what it moved": ("sweep", "redis.call('ZREM', KEYS[4], note)", "", a_delayed_message_is_moved_once),
}


@pytest.mark.parametrize("check", [*dict.fromkeys(check for *_, check in TWINS.values())])
def test_transport_keeps(client, consumer, check):
    check(client, consumer)


@pytest.mark.parametrize("twin", TWINS)
def test_broken_twin_is_found(client, consumer, monkeypatch, twin):
    name, stands, instead, check = TWINS[twin]
    true = scripts.script
    text = true(name).text
    assert stands in text
    broken = text.replace(stands, instead)
    made = scripts.Script(broken, sha1(broken.encode()).hexdigest())
    monkeypatch.setattr(scripts, "script", lambda each: made if each == name else true(each))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(client, consumer)
