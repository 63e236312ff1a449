"""Messages as Celery sends them, with something changed: what a producer of another kind may push."""

import base64
import uuid

from awkward_tasks import takes


def message(queue, id, arguments="[]", *, headers=None, properties=None, body=None, **more):
    """A message as Celery sends it, with something changed."""
    text = body if body is not None else f"[{arguments}, {{}}, {{}}]"
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": takes.name, "id": id, "root_id": id, "parent_id": None, "group": None,
            "retries": 0, "timelimit": [None, None], "eta": None, "expires": None, "argsrepr": "()",
            "kwargsrepr": "{}", **(headers or {}),
        },
        "properties": {
            "correlation_id": id, "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue}, "delivery_tag": str(uuid.uuid4()),
            **(properties or {}),
        },
        **more,
    }  # fmt: skip
