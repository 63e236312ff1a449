"""What every program does besides measuring: it orders turns, tells its progress, writes figures, and ends cleanly."""

import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
RESULTS = ROOT / "bench" / "results"
Tell = Callable[[str], None]


def tell(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def order(names: Sequence[str], number: int) -> list[str]:
    """Return the order of a round, so that each name comes early and late: every second round is run backwards."""
    shift = number // 2 * 2 % len(names)
    turned = [*names[shift:], *names[:shift]]
    return turned[::-1] if number % 2 else turned


def save(path: Path, figures: dict[str, Any]) -> None:
    """Write figures into a file in bench/results, as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_finite(figures), indent=1) + "\n")
    print(f"\nsaved to bench/{path.relative_to(path.parent.parent)}")


def _finite(value: Any) -> Any:
    """Return a copy with None in the place of nan, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def run(main: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its code; on Ctrl-C and SIGTERM, the program first ends what it has started."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
