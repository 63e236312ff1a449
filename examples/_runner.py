"""How an example reads its argument, and how it ends: it prints its claim and whether the claim held."""

import json
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from examples._claims import Verdict

_counts = ""  # "1,000,000 / 2,000": the updates that each task makes in the tutorial, and here


def times(tutorial: int) -> int:
    """Return how many updates each task makes: the first argument of the script, or as many as in the tutorial."""
    global _counts
    text = sys.argv[1] if len(sys.argv) > 1 else str(tutorial)
    if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= tutorial):
        sys.exit(f"times must be a whole number from 1 to {tutorial:,}, not {text[:20]!r}")
    _counts = f"{tutorial:,} / {int(text):,}"
    return int(text)


def conclude(verdict: Verdict) -> NoReturn:
    """Print the result and the claim, then exit: with 0 if the claim held, else with 1.

    `make demo` names a file in INTERLOCK_VERDICT, and makes a row of its table from what is written there.
    """
    print(f"Result: {verdict.result}")
    print(f"{'ok' if verdict.held else 'FAILED'}: {verdict.claim}", flush=True)
    if os.environ.get("INTERLOCK_VERDICT"):
        row = {
            "result": verdict.result,
            "claim": verdict.claim,
            "held": verdict.held,
            "tasks": verdict.tasks,
            "processes": len(set(verdict.processes)),
            "counts": _counts,
        }
        Path(os.environ["INTERLOCK_VERDICT"]).write_text(json.dumps(row))
    sys.exit(0 if verdict.held else 1)
