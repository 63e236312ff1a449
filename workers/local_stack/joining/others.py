"""The workers that run already: a joining machine must run the same versions, and use names that none has."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tasks.celery_app import app
from workers.extensions import versions
from workers.local_stack import status

ANSWER_WITHIN = 5.0  # seconds: the wait ends sooner if all have answered; who was killed a moment ago does not
NAMED_MAX = 3  # workers in a line

# What must be equal, how people call it, and what breaks if it is not.
SAME = {
    "interlock": ("Interlock", "its scripts and messages change with the version; use the same checkout everywhere"),
    "celery": ("Celery", "its messages and commands change with the version; install requirements.txt everywhere"),
    "visibility_seconds": (
        "INTERLOCK_VISIBILITY_SECONDS",
        "a worker with a longer one loses its tasks to the others; set the same everywhere",
    ),
}


def running() -> dict[str, Mapping[str, Any]]:
    """Return what each worker that answers says of itself, by its name."""
    return status.ask("stats", status.known_workers(app.backend.client), within=ANSWER_WITHIN)


def _comparable(field: str, version: str) -> str:
    """Return what counts of a version: of Celery's and Python's the first two numbers, a patch changes no message."""
    return ".".join(version.split(".")[:2]) if field in ("celery", "python") else version


def _differing(found: Mapping[str, Mapping[str, Any]], field: str, ours: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each other version, and the workers that have it. Workers of older checkouts say none."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for name, stats in sorted(found.items()):
        theirs = str(stats.get(versions.VERSIONS_FIELD, {"interlock": "an older one"}).get(field, ours))
        if _comparable(field, theirs) != _comparable(field, ours):
            by_version[theirs].append(name)
    yield from by_version.items()


def _named(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED_MAX} more"] if len(names) > NAMED_MAX else []
    return ", ".join([*names[:NAMED_MAX], *more])


def other_versions(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each version of those workers beside which ours cannot run."""
    own = versions.own()
    for field, (what, why) in SAME.items():
        for theirs, names in _differing(found, field, own[field]):
            yield f"{_named(names)}: {what} is {theirs} there and {own[field]} here, and must be the same: {why}"


def name_taken(found: Collection[str], wanted: Collection[str]) -> str | None:
    """Return one line if a worker has a name that one of ours wants; None: all are free."""
    taken = sorted(set(wanted) & set(found))
    if not taken:
        return None
    return (
        f"a worker named {_named(taken)} runs already, and each name must be unique, or commands reach the wrong "
        "one: stop it, or give this machine another name with --name"
    )


def notes(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines to read: who runs already, by which a wrong prefix shows, and what differs and breaks nothing.

    Another Python breaks nothing, for messages are JSON and no worker reads another's pickles.
    """
    yield f"Workers that run already: {_named(sorted(found)) or 'none'}."
    ours = versions.own()["python"]
    for theirs, names in _differing(found, "python", ours):
        yield f"note: {_named(names)}: Python is {theirs} there and {ours} here"
