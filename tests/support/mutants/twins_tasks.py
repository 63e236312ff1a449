"""Broken twins of tasks: each leaves out what its program is about, which must then say so. Workers include them."""

import time

from interlock import Barrier, Condition
from tasks import app
from tasks.bounded_buffer import produce
from tasks.signals import go_rounds
from tasks.support.clock import server_time
from tasks.support.output import place
from tasks.support.patience import waited_in_vain


class Heedless(Condition):
    """Waits for nothing."""

    def wait_for(self, predicate, timeout=None):
        return True


class Open(Barrier):
    """Holds nobody back."""

    def wait(self, timeout=None):
        return 0


@app.task(queue="io")
def produce_without_waiting(changed, slots, put, taken, first, items):
    return produce.run(Heedless.attached(**changed.parameters()), slots, put, taken, first, items)


@app.task
def consume_outside_of_the_lock(changed, slots, put, taken, items, pause=0.0):
    got = []
    for _ in range(items):
        with changed:
            assert changed.wait_for(lambda: taken.value < put.value, timeout=10)
            place_of_it = taken.value % len(slots)
            taken.value += 1
            changed.notify_all()
        time.sleep(0.02)
        got.append(slots[place_of_it])  # a producer has put another there meanwhile
    return {**place(), "items": got}


LOSES, DOUBLES, SWAPS = [*range(7), 8, 9], [*range(8), 7, 8, 9], [*range(7), 8, 7, 9]


@app.task(queue="io")
def put_these(channel, numbers):
    for item in [*numbers, None]:
        channel.put(item, timeout=10)
    return place()


@app.task(queue="io")
def send_these(writer, numbers):
    with writer:
        for item in numbers:
            writer.send(item)
    return place()


@app.task
def count_without_the_lock(histogram, start, stop):
    for number in range(start, stop):
        histogram[number * number % 10] += 1
    return place()


@app.task(queue="io")
def await_nothing(go):
    now = server_time()
    return {**place(), "began": now, "went_on": now}


@app.task(queue="io")
def await_event_and_dawdle(go):
    began = server_time()
    assert go.wait(timeout=20)
    time.sleep(2.1)
    return {**place(), "began": began, "went_on": server_time()}


@app.task(queue="io")
def go_rounds_alone(line, rounds, pause):
    return go_rounds.run(Open.attached(**line.parameters()), rounds, pause)


@app.task(queue="io")
def give_up(line, rounds, pause):
    raise waited_in_vain("for nothing", "io")


def called_with(task, extra=None, **options):
    """What stands for a task in a program: its signature, with other arguments and options."""

    class Other:
        @staticmethod
        def s(*arguments, **more):
            return task.s(*(arguments if extra is None else (arguments[0], extra)), **more).set(**options)

    return Other
