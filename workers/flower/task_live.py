"""What a task does right now, for Flower's page of it: its progress, lines, locks and earlier deliveries."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from celery import states
from tornado.web import HTTPError, authenticated

from interlock import in_use
from interlock.in_use import InUse, Names, Party
from tasks.celery_app import app
from tasks.transport.returns import returns_of
from tasks.transport.scripts import Keys
from workers.flower.dead_letters import client
from workers.flower.locks import Describing, looking
from workers.flower.reports import reports_of

LONG_MAX = 20  # names with more holders or waiters than the look at all names shows: so many are looked at again
DEEP = 200  # holders and waiters, of each of them


class TaskLive(Describing):
    """What one task does right now."""

    @authenticated
    async def get(self, id: str) -> None:
        """Write it; of a task that has ended, only what it reported."""
        known = self.application.events.state.tasks.get(id)
        if known is None:
            raise HTTPError(404, "Flower does not know this task any more")
        ended = known.state in states.READY_STATES
        report = (await self.blocking(reports_of, [id])).get(id, {})
        lines = report.get("texts", [])
        answer: dict[str, Any] = {
            "ended": ended, "progress": report.get("progress"), "lines": lines,
            "lines_before": report.get("number", 0) - len(lines), "holds": [], "waits": [], "returns": [],
        }  # fmt: skip
        if not ended:
            names = await looking.names(self)
            uses = await self.blocking(lambda: list(_in_use_by(id, names)))
            answer["holds"] = [self._use(seen, each) for seen in uses for each in seen.holders if each.task == id]
            answer["waits"] = [
                {**self._use(seen, each), "place": place, "waiting": seen.waiting}
                for seen in uses for place, each in enumerate(seen.waiters, 1) if each.task == id
            ]  # fmt: skip
            found = await self.blocking(returns_of, client(), Keys.of(app), id)
            answer["returns"] = [asdict(each) for each in found]
        self.write(answer)

    def _use(self, seen: InUse, party: Party) -> dict[str, Any]:
        return {
            "name": seen.name, "kind": seen.kind, "url": self.lock_url(seen), "seconds": party.seconds,
            "lingers": party.lingers,
        }  # fmt: skip


def _in_use_by(id: str, names: Names) -> Iterator[InUse]:
    """Yield what the task holds or waits for. Asks Redis again for names of which the look shows only the first."""
    left = LONG_MAX
    for seen in names.in_use:
        if _has(seen, id):
            yield seen
        elif left and (seen.holding > len(seen.holders) or seen.waiting > len(seen.waiters)):
            left -= 1
            whole = in_use.look_at(seen.name, lock=seen.lock, most=DEEP)
            if whole is not None and _has(whole, id):
                yield whole


def _has(seen: InUse, id: str) -> bool:
    return any(each.task == id for each in (*seen.holders, *seen.waiters))
