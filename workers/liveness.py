"""The probe `python workers/liveness.py FILE`: it tells by the age of a file whether a worker is alive.

The probe takes milliseconds, for it imports neither Celery nor any module of ours. It does not ask Redis: a worker must
not be restarted because Redis is away. `workers/extensions/liveness_file.py` touches the file.
"""

import sys
import time
from pathlib import Path

DEAD_AFTER = 20.0  # seconds: a worker on a loaded machine may miss three touches


def alive(path: Path, now: float | None = None) -> bool:
    """Whether the file was touched within DEAD_AFTER seconds."""
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return False
    return (time.time() if now is None else now) - touched < DEAD_AFTER


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) == 2 and alive(Path(sys.argv[1])) else 1)
