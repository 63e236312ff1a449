"""What is held by an object that goes out of scope."""

import gc
import time

import pytest
from peers import wait_until

import interlock
from interlock._session.process import session


def held(names):
    return [hold for hold in list(session(None).holdings.holds.values()) if hold.resource.name in names]


@pytest.mark.parametrize(
    "make",
    [
        lambda: interlock.Lock(lease=0.6, linger=0),
        lambda: interlock.Lock(lease=1.2, linger=5),
        lambda: interlock.RLock(lease=0.6),
        lambda: interlock.RWLock(lease=0.6).writer,
        lambda: interlock.Semaphore(1, lease=0.6),
        lambda: interlock.Condition(lease=0.6),
    ],
)
def test_what_went_out_of_scope_while_held_is_free_after_its_lease_with_one_warning(make):
    def forget():
        thing = make()
        thing.acquire()
        return getattr(thing, "_lock", thing).name

    with pytest.warns(ResourceWarning, match="went out of scope") as caught:
        names = {forget() for _ in range(20)}
        gc.collect()
        wait_until(lambda: not held(names), what="the end of the leases")
    texts = [str(each.message) for each in caught]  # a lock that an earlier test forgot may be among them
    assert [sum(name in text for text in texts) for name in names] == [1] * 20


def test_fresh_object_of_the_name_releases_what_another_took_and_lost_from_sight():
    name = interlock.Lock().name
    assert interlock.Lock(name=name, linger=0).acquire()
    gc.collect()
    interlock.Lock(name=name, linger=0).release()
    assert not held({name})


def test_object_of_the_name_that_is_left_keeps_the_lease_renewed():
    kept = interlock.Lock(lease=2.0, linger=0)
    with kept:
        pass
    interlock.Lock(name=kept.name, lease=2.0, linger=0).acquire()
    until = time.monotonic() + 4.0
    wait_until(lambda: kept.deadline > until, what="renewals beyond the first lease")
    kept.release()


@pytest.mark.parametrize("inside", [lambda name: interlock.Lock(name=name, lease=2.0, linger=0), None])
def test_with_statement_keeps_its_lock(inside):
    name = interlock.Lock().name
    with inside(name) if inside else interlock.RWLock(name=name, lease=2.0).reader:
        (hold,) = held({name})
        gc.collect()
        until = time.monotonic() + 4.0
        wait_until(lambda: hold.deadline > until, what="renewals beyond the first lease")


def test_task_that_forgot_its_lock_has_it_renewed_until_it_ends():
    with pytest.warns(ResourceWarning, match="ended holding"), interlock.acting_for("1", "work"):
        interlock.Lock(name="forgotten", lease=2.0, linger=0).acquire()
        (hold,) = held({"forgotten"})
        until = time.monotonic() + 4.0
        wait_until(lambda: hold.deadline > until, what="renewals beyond the first lease")
    assert not held({"forgotten"})
