"""How far tasks have come, for Flower's table of tasks; and what they reported, as Redis has it, for the page of one.

Flower itself keeps only what it hears by events. An event for each step would be one more message, and Flower would
show its name as the task's state, also when the task has ended.
"""

from collections.abc import Sequence
from typing import Any

from kombu.utils.encoding import bytes_to_str
from tornado.web import HTTPError, authenticated

from tasks.celery_app import app, reports
from workers.flower.dead_letters import client
from workers.flower.pages import Data

IDS_MAX = 100  # tasks in one request: Flower's table has no more rows


def reports_of(ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the reports of those of the tasks that have one: one round trip."""
    keys = [bytes_to_str(app.backend.get_key_for_task(id)) for id in ids]
    texts = client().mget(keys) if keys else []
    found = {id: reports.read(app.backend.decode(text)) for id, text in zip(ids, texts, strict=True) if text}
    return {id: report for id, report in found.items() if report}


class ProgressData(Data):
    """How far tasks have come that run."""

    @authenticated
    async def get(self) -> None:
        """Write [done, total] by the id of the task, for those that the request names and that have said it."""
        try:
            ids = [each.decode() for each in self.request.arguments.get("id", [])]
        except UnicodeDecodeError as error:
            raise HTTPError(400, "id must be UTF-8") from error
        if len(ids) > IDS_MAX:
            raise HTTPError(400, f"ask for {IDS_MAX} tasks at most, not {len(ids):,}")
        found = await self.blocking(reports_of, ids)
        self.write({id: report["progress"] for id, report in found.items() if "progress" in report})
