"""A server that a program kills, and starts again on what it has kept."""

from pathlib import Path

from workers.local_stack import redis_server


class KillableServer:
    """A server of its own, with the append-only file on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._port = folder, redis_server.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._child = redis_server.start(folder, self._port)

    def kill_and_start(self) -> None:
        """Kill it, and start it again on what it has kept."""
        self._child.process.kill()
        self._child.process.wait()
        self._child = redis_server.start(self._folder, self._port)

    def stop(self) -> None:
        """Stop it."""
        self._child.ask_to_stop()
        self._child.stop(5)
