"""A producer that tests kill, or take Redis away from: `python tests/support/enqueuing_program.py NAME COUNT`.

It enqueues COUNT tasks in chunks of five. OUTAGE: how many seconds it waits for Redis. TWIN: leave out the guard.
"""

import functools
import os
import sys
import traceback
from hashlib import sha1

from interlock._protocol.scripts import Script
from tasks import enqueue_many, print_square
from tasks.enqueuing import outages, sending
from tasks.transport import scripts

GUARD, NOTHING = "redis.call('SISMEMBER', KEYS[4], ARGV[number]) == 0", "true"


def put_what_was_put():
    """Make the script put each message, whether its id is known or not."""
    real = scripts.script

    @functools.cache
    def script(name):
        if name != "put_many":
            return real(name)
        text = real(name).text
        assert GUARD in text
        text = text.replace(GUARD, NOTHING)
        return Script(text, sha1(text.encode()).hexdigest())

    scripts.script = script


if __name__ == "__main__":
    sending.CHUNK_MAX = 5
    outages.OUTAGE_MAX = float(os.environ.get("OUTAGE", outages.OUTAGE_MAX))
    if os.environ.get("TWIN"):
        put_what_was_put()
    given = ((number % 1000,) for number in range(int(sys.argv[2])))
    try:
        enqueue_many(print_square, given, name=sys.argv[1])
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
