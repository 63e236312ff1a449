"""What became of a task of a batch."""

from dataclasses import dataclass
from typing import Any

from celery import states

GONE = "GONE"  # in the place of a state: Redis does not have the result any more


class RemoteTracebackError(Exception):
    """The traceback of a task, as the cause of what it raised: so `concurrent.futures` shows those of processes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task ended."""

    id: str
    state: str
    """SUCCESS, FAILURE or REVOKED, as Celery has it; or GONE."""
    value: Any
    """What the task returned; None if it failed."""
    error: BaseException | None
    """What it raised, with the worker's traceback as its cause; None if it succeeded."""

    @property
    def ok(self) -> bool:
        """Whether the task succeeded."""
        return self.error is None

    def get(self) -> Any:
        """Return what the task returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.value


def outcome(backend: Any, id: str, stored: bytes | None) -> Outcome | None:
    """Return what a stored result says; None: the task runs again."""
    if stored is None:
        gone = LookupError(
            f"the result of task {id} is gone: it was forgotten, or is older than INTERLOCK_RESULT_SECONDS allows"
        )
        return Outcome(id, GONE, None, gone)
    meta = backend.decode_result(stored)
    state = meta["status"]
    if state not in states.READY_STATES:
        return None
    if state == states.SUCCESS:
        return Outcome(id, state, meta["result"], None)
    error: BaseException = (
        meta["result"] if isinstance(meta["result"], BaseException) else RuntimeError(str(meta["result"]))
    )
    if meta.get("traceback"):
        error.__cause__ = RemoteTracebackError(str(meta["traceback"]))
    return Outcome(id, state, None, error)
