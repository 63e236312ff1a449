"""Messages that no worker can run, each with the reason: a list in Redis, `dead-letters`, that people look at."""

import json
import socket
import time
from typing import Any

from tasks.celery_app import app, environment

KEY = "dead-letters"  # behind INTERLOCK_PREFIX
KEPT = 1000  # letters: the newest
KEPT_SECONDS = 7 * 86_400  # after the newest
TEXT_MAX = 10_000  # characters of a message


def letter(reason: BaseException, message: Any, id: str | None = None, name: str | None = None) -> str:
    """What is kept of a message: why it could not be run, what it was, where and when that was."""
    text = message if isinstance(message, str) else repr(message)
    return json.dumps(
        {
            "reason": f"{type(reason).__name__}: {reason}"[:TEXT_MAX],
            "id": id,
            "task": name,
            "message": text[:TEXT_MAX],
            "host": socket.gethostname(),
            "seconds": time.time(),  # since 1970
        }
    )


def keep(text: str) -> None:
    """Keep a letter; the oldest beyond KEPT goes."""
    key = environment.read().prefix + KEY
    with app.backend.client.pipeline() as pipe:
        pipe.lpush(key, text).ltrim(key, 0, KEPT - 1).expire(key, KEPT_SECONDS).execute()
