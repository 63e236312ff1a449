"""How an example ends: its result, its claim, and whether the claim held."""

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verdict:
    """What an example showed. `make demo` reads it from the file that INTERLOCK_VERDICT names."""

    result: str
    claim: str
    held: bool
    tasks: int
    processes: int
    counts: str = ""


def conclude(
    result: str,
    claim: str,
    held: bool,
    *,
    tasks: int,
    processes: Iterable[tuple[str, int]],
    asked: int | None = None,
    run: int | None = None,
) -> int:
    """Print the claim and whether it held; the exit code: 0 if it did, else 1.

    Args:
        result: what came out, in a few words.
        claim: what the program is to show.
        held: whether it did.
        tasks: how many tasks ran.
        processes: host and process id of each run.
        asked: how many updates each task makes in the tutorial.
        run: how many it made here.
    """
    counts = "" if asked is None else f"{asked:,} / {run:,}"
    verdict = Verdict(result, claim, held, tasks, len(set(processes)), counts)
    print(f"Result: {result}")
    print(f"{'ok' if held else 'FAILED'}: {claim}", flush=True)
    if os.environ.get("INTERLOCK_VERDICT"):
        Path(os.environ["INTERLOCK_VERDICT"]).write_text(json.dumps(asdict(verdict)))
    return 0 if held else 1


def times(asked: int) -> int:
    """How many updates each task makes: the first argument of the script, else as many as in the tutorial."""
    text = sys.argv[1] if len(sys.argv) > 1 else str(asked)
    if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= asked):
        sys.exit(f"times must be a whole number from 1 to {asked:,}, not {text[:20]!r}")
    return int(text)
