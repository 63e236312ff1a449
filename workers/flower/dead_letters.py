"""The page of dead letters: it lists them, shows one whole, and replays or deletes those that a filter leaves.

`python -m workers dead` does the same in a terminal.
"""

import base64
import json
import logging
from functools import cache
from hashlib import sha1
from typing import Any
from urllib.parse import urlencode

import redis
from tornado.web import HTTPError, authenticated

from interlock import address
from interlock._text import printable
from tasks.celery_app import app
from tasks.transport import dead_letters
from tasks.transport.dead_letters import Letter
from tasks.transport.scripts import Keys
from workers.flower.pages import Data, Page

ANSWER_WITHIN = 5.0  # seconds until a Redis that does not answer counts as away
TAB, SCRIPT = "dead-letters", "dead_letters.js"
TEXT_MAX = 300  # characters of a reason, or of arguments, in the list

log = logging.getLogger(__name__)


@cache
def client() -> redis.Redis:
    """Return the client of Flower's own commands."""
    return redis.Redis.from_url(address.url(), socket_timeout=ANSWER_WITHIN, socket_connect_timeout=ANSWER_WITHIN)


def letters() -> list[Letter]:
    """Return all dead letters, the newest first. Redis keeps a thousand."""
    return dead_letters.read(client(), Keys.of(app))


def digest(letter: Letter) -> str:
    """Return what names a letter: two letters may be of one task."""
    return sha1(letter.raw, usedforsecurity=False).hexdigest()


def change(digests: set[str], *, replay: bool) -> int:
    """Replay or delete the letters of these digests, the oldest first. Return how many that were.

    A letter that is gone, since somebody else was faster, counts for nothing.
    """
    act = dead_letters.replay if replay else dead_letters.delete
    chosen = [each for each in reversed(letters()) if digest(each) in digests]
    return sum(act(client(), Keys.of(app), each) for each in chosen)


class DeadLettersPage(Page):
    """All dead letters."""

    @authenticated
    def get(self) -> None:
        """Write the page; its script asks for the data."""
        self.render_page("dead_letters.html", "Dead letters", TAB, SCRIPT)


class DeadLettersData(Data):
    """The rows of the page."""

    @authenticated
    async def get(self) -> None:
        """Write the letters, without their messages."""
        self.write({"data": [self._row(each) for each in await self.blocking(letters)]})

    def _row(self, letter: Letter) -> dict[str, Any]:
        fields = letter.fields
        return {
            "digest": digest(letter),
            "url": f"{self.reverse_url('dead-letter')}?{urlencode({'letter': digest(letter)})}",
            "id": letter.id,
            "task": letter.task,
            "arguments": str(letter.headers.get("argsrepr") or "")[:TEXT_MAX],
            "queue": Keys.of(app).queue_of(str(fields.get("list") or "")),
            "seconds": fields.get("seconds") or 0,
            "deliveries": len(fields.get("deliveries") or ()),
            "reason": str(fields.get("reason") or "")[:TEXT_MAX],
        }


class DeadLetterPage(Page):
    """One dead letter."""

    @authenticated
    async def get(self) -> None:
        """Write the whole letter."""
        wanted = self.argument("letter")
        found = next((each for each in await self.blocking(letters) if digest(each) == wanted), None)
        if found is None:
            raise HTTPError(404, "This dead letter is gone: it was replayed or deleted, or a week is over")
        text = json.dumps(found.fields, indent=2)  # ASCII: half of a surrogate pair stays escaped
        id = printable(found.id)
        self.render_page(
            "dead_letter.html", f"Dead letter {id[:8]}", TAB, SCRIPT, letter=wanted, id=id,
            task=printable(found.task), text=text, reason=printable(str(found.fields.get("reason") or "")),
            message=_pretty(found),
        )  # fmt: skip


def _pretty(letter: Letter) -> str:
    """Return the message for people, its body decoded; as it is where it is no JSON."""
    try:
        message = json.loads(letter.message)
        if isinstance(message, dict) and message.get("properties", {}).get("body_encoding") == "base64":
            message["body"] = json.loads(base64.b64decode(message["body"]))
        return json.dumps(message, indent=2)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return letter.message.decode(errors="backslashreplace")


class DeadLettersChange(Data):
    """Replays letters, or deletes them."""

    def initialize(self, *, replay: bool) -> None:
        """Note which of the two."""
        self.replay = replay

    @authenticated
    async def post(self) -> None:
        """Do so with the letters that the page names, a JSON list of digests, and write how many that were."""
        self.check_may_change()
        try:
            wanted = {str(each) for each in json.loads(self.argument("letters"))}
        except (ValueError, TypeError) as error:
            raise HTTPError(400, "letters must be a JSON list of what names each letter") from error
        done = await self.blocking(change, wanted, replay=self.replay)
        log.warning("%d dead letters %s by %s", done, self._did, self.request.remote_ip)
        self.write({"done": done, "did": self._did})

    @property
    def _did(self) -> str:
        return "replayed" if self.replay else "deleted"
