"""Dead letters: messages that no worker can run, each with the reason, in the list `dead-letters` in Redis."""

import json
import socket
import time
from typing import Any

from tasks.celery_app import app, environment

KEY = "dead-letters"  # after INTERLOCK_PREFIX
KEPT = 1000  # letters, the newest ones
KEPT_SECONDS = 7 * 86_400  # since the newest letter
TEXT_MAX = 10_000  # characters of a message or a reason


def letter(reason: BaseException, message: Any, id: str | None = None, name: str | None = None) -> str:
    """Return the dead letter for a message: the reason, the message, where and when it was refused."""
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
    """Store a letter, and drop the oldest beyond KEPT."""
    key = environment.read().prefix + KEY
    with app.backend.client.pipeline() as pipe:
        pipe.lpush(key, text).ltrim(key, 0, KEPT - 1).expire(key, KEPT_SECONDS).execute()
