"""What the tests of queues share: processes that use one, and its name in Redis."""

from peers import plain, wait_until

METHODS = ("spawn", "fork")


def identity(own, thing):
    return own.identity(thing.kind, thing.name, thing.maxsize, 60_000)


def together(note, parties):
    note.incr("ready")
    wait_until(lambda: int(note.get("ready")) == parties, what="the start of all")


def get_one(things, mark):
    item = things.get()
    with plain() as note:
        note.rpush("served", f"{mark} {item}")


def put_one(things, mark):
    things.put(mark)
