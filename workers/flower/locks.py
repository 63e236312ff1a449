"""The page of locks, drawn from the state in Redis: who holds, who waits; and the page of one lock."""

import asyncio
import logging
import time
from typing import Any
from urllib.parse import urlencode

from tornado.web import HTTPError, authenticated

from interlock import in_use
from interlock.in_use import InUse, Names, Party
from workers.flower.pages import Data, Page

FRESH_FOR = 0.5  # seconds: requests within this time share one look at Redis, however many people watch

log = logging.getLogger(__name__)


class Looking:
    """The last look at all locks, which all requests share. Used on Flower's event loop alone."""

    def __init__(self) -> None:
        self._look: asyncio.Task[Names] | None = None
        self._begun = 0.0  # when the look began, on time.monotonic()

    async def names(self, page: Page) -> Names:
        """Return what the look finds that is under way, or that began FRESH_FOR seconds ago, or else a new one."""
        now = time.monotonic()
        if self._look is None or (self._look.done() and now > self._begun + FRESH_FOR):
            self._look, self._begun = asyncio.ensure_future(page.blocking(in_use.look_at_all)), now
        return await asyncio.shield(self._look)


looking = Looking()


class Describing(Data):
    """Describes who holds and who waits, with links to what Flower knows of them."""

    def lock(self, seen: InUse) -> dict[str, Any]:
        """Return one lock as the scripts of the pages take it."""
        return {
            "name": seen.name, "kind": seen.kind, "lock": seen.lock, "permits": seen.permits,
            "holding": seen.holding, "waiting": seen.waiting, "breakable": seen.breakable,
            "url": self.lock_url(seen),
            "holders": [self.party(each) for each in seen.holders],
            "waiters": [self.party(each) for each in seen.waiters],
        }  # fmt: skip

    def lock_url(self, seen: InUse) -> str:
        """Return where the page of one lock is."""
        asked = {"name": seen.name, "lock": seen.lock} if seen.lock else {"name": seen.name}
        return f"{self.reverse_url('lock')}?{urlencode(asked)}"

    def party(self, party: Party) -> dict[str, Any]:
        """Return a holder or a waiter."""
        known = self.application.events.state.tasks.get(party.task) if party.task else None
        worker = known.worker.hostname if known is not None and known.worker else self._worker_of(party.process)
        return {
            "process": party.process,
            "task": party.task,
            "label": party.who.partition(" ")[2],
            "task_url": self.reverse_url("task", party.task) if known is not None else "",
            "worker": worker,
            "worker_url": self.reverse_url("worker", worker) if worker else "",
            "seconds": party.seconds,
            "token": party.token,
            "remaining": party.remaining,
            "lingers": party.lingers,
        }

    def _worker_of(self, process: str) -> str:
        """Return the worker to which a process, given as host:pid, belongs; '' if Flower knows of none."""
        host, _, pid = process.rpartition(":")
        for name, found in self.application.workers.items():
            stats = found.get("stats", {})
            pids = {stats.get("pid"), *(stats.get("pool", {}).get("processes") or ())}
            if name.partition("@")[2] == host and int(pid or 0) in pids:
                return str(name)
        return ""


class LocksPage(Page):
    """All locks."""

    @authenticated
    def get(self) -> None:
        """Write the page; its script asks for the data."""
        self.render_page("locks.html", "Locks", "locks", "locks.js")


class LocksData(Describing):
    """The rows of the page of locks."""

    @authenticated
    async def get(self) -> None:
        """Write what is held or waited for."""
        names = await looking.names(self)
        self.write({
            "data": [self.lock(each) for each in names.in_use], "looked_at": names.looked_at, "known": names.known,
        })  # fmt: skip


class LockPage(Page):
    """One lock."""

    @authenticated
    def get(self) -> None:
        """Write the page; its script asks for the data."""
        name = self.argument("name")
        if not name:
            raise HTTPError(404, "Which lock? The page of locks has a link to each")
        self.render_page("lock.html", name, "locks", "lock.js", lock_name=name, of_lock=self.argument("lock"))


class LockData(Describing):
    """Who holds one lock, and who waits."""

    @authenticated
    async def get(self) -> None:
        """Write it; `null` if Redis knows nothing of the name."""
        seen = await self.blocking(in_use.look_at, self.argument("name"), lock=self.argument("lock"))
        self.write({"lock": self.lock(seen) if seen else None})


class LockBreak(Data):
    """Takes a lock away from its holders."""

    @authenticated
    async def post(self) -> None:
        """Break the lock, and write how many leases that ended. Flower's log says who did it."""
        self.check_may_change()
        name = self.argument("name")
        ended = await self.blocking(in_use.take_away, name)
        log.warning("%r was broken by %s: %d leases ended", name, self.request.remote_ip, ended)
        self.write({"ended": ended})
