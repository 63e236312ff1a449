"""A server that wants a password, on a port and on a socket."""

from contextlib import contextmanager

import redis
from peers import wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import server_binary

from workers.local_stack import redis_server
from workers.local_stack.children import Child


@contextmanager
def guarded_server(folder, password):
    """Its two addresses, without the password."""
    port = redis_server.free_port()
    (folder / "redis.conf").write_text(f'requirepass "{password}"\nunixsocket {folder}/socket\nsave ""\n')
    command = [server_binary(), str(folder / "redis.conf"), "--bind", "127.0.0.1", "--port", str(port)]
    child = Child("redis", command, folder / "log", {})
    try:
        with redis.Redis(port=port, password=password, retry=Retry(NoBackoff(), 0)) as client:
            wait_until(lambda: _answers(child, client), what="the start of the server")
        yield {"port": f"redis://127.0.0.1:{port}/0", "socket": f"unix://{folder}/socket?db=0"}
    finally:
        child.stop(0)


def _answers(child, client):
    assert child.running, child.last_words()
    try:
        return client.ping()
    except redis.ConnectionError:
        return False
