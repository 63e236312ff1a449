"""What Flower shows beside its own: locks, dead letters, what a task does, a button to retry it, metrics of ours.

Flower 2.2 has no plug-in interface. `deploy/flowerconfig.py`, which Flower executes before it builds its application,
calls `install`: it adds routes, replaces some of Flower's own pages by subclasses, and puts parts into its templates.
Everything stands behind Flower's login; what changes something is refused in its read-only mode.
"""

import sys
from typing import Any

from flower.urls import handlers, settings
from tornado.web import StaticFileHandler, url

from interlock._secrets import secret
from workers.flower.dead_letters import DeadLetterPage, DeadLettersChange, DeadLettersData, DeadLettersPage
from workers.flower.flowers_pages import REPLACED
from workers.flower.locks import LockBreak, LockData, LockPage, LocksData, LocksPage
from workers.flower.reports import ProgressData
from workers.flower.retry import Retry
from workers.flower.task_live import TaskLive
from workers.flower.templates import STATIC, Templates

ROUTES = [
    url(r"/locks", LocksPage, name="locks"),
    url(r"/locks/data", LocksData, name="locks-data"),
    url(r"/lock", LockPage, name="lock"),
    url(r"/lock/data", LockData, name="lock-data"),
    url(r"/lock/break", LockBreak, name="lock-break"),
    url(r"/dead-letters", DeadLettersPage, name="dead-letters"),
    url(r"/dead-letters/data", DeadLettersData, name="dead-letters-data"),
    url(r"/dead-letters/replay", DeadLettersChange, {"replay": True}, name="dead-letters-replay"),
    url(r"/dead-letters/delete", DeadLettersChange, {"replay": False}, name="dead-letters-delete"),
    url(r"/dead-letter", DeadLetterPage, name="dead-letter"),
    url(r"/retry/(.+)", Retry, name="retry"),
    url(r"/task-live/(.+)", TaskLive, name="task-live"),
    url(r"/tasks/progress", ProgressData, name="tasks-progress"),
    url(r"/interlock/static/(.*)", StaticFileHandler, {"path": str(STATIC)}, name="interlock-static"),
]


def install() -> None:
    """Add all that to Flower, before it builds its application."""
    for number, route in enumerate(handlers):
        pattern, view = (route.regex.pattern, route.handler_class) if not isinstance(route, tuple) else route[:2]
        if view in REPLACED:
            name = None if isinstance(route, tuple) else route.name
            handlers[number] = url(pattern, REPLACED[view], name=name)
    handlers[:0] = _unknown(ROUTES)
    settings["template_loader"] = Templates(settings["template_path"])


def _unknown(routes: list[Any]) -> list[Any]:
    """Return the routes that Flower does not have yet: its configuration is read once, a test may read it again."""
    known = {route.regex.pattern for route in handlers if not isinstance(route, tuple)}
    return [route for route in routes if route.regex.pattern not in known]


def login() -> list[str]:
    """Return who may log in to Flower, each as `user:password`; empty: everybody sees all.

    A user or a password that is empty ends Flower with one line.
    """
    try:
        logins = [each for each in (secret("FLOWER_BASIC_AUTH") or "").split(",") if each]
        if not all(all(each.partition(":")[::2]) for each in logins):
            raise ValueError("FLOWER_BASIC_AUTH must be user:password, or several with commas between them")
    except ValueError as error:
        sys.exit(f"error: {error}")
    return logins
