"""Draw docs/pictures/counter.svg from bench/results/counter.json: updates a second, on a logarithmic scale.

    .venv/bin/python -m bench.counter.picture

The picture has no background, and its colours follow the page's: dark text on light, light text on dark.
"""

import json
import math
from typing import Any
from xml.sax.saxutils import escape

from bench.harness import running
from bench.harness.drawing import STYLE, text

RESULTS = running.RESULTS / "counter.json"
PICTURE = running.ROOT / "docs" / "pictures" / "counter.svg"

ROWS = {
    "threading.Lock": "threading.Lock, one process",
    "multiprocessing.Value": "multiprocessing.Value, one machine",
    "interlock": "interlock, any machines",
    "interlock, 8 processes": "the same, 8 processes",
    "interlock, 20 ms": "the same, 20 ms a round trip",
    "redis-py": "redis-py's Lock, GET, SET",
    "interlock, linger=0": "interlock, linger=0",
}
WIDTH, LEFT, RIGHT = 800, 290, 110  # px
TOP, ROW, BAR, BOTTOM = 66, 32, 20, 34  # px


def draw(figures: dict[str, Any]) -> str:
    """Return the picture of these figures."""
    rates = {row: figures["medians"][row] for row in ROWS if row in figures["medians"]}
    low = math.floor(math.log10(min(rates.values()) / 3))  # so that the smallest rate has a bar, too
    high = math.log10(max(rates.values())) + 0.05
    room = WIDTH - LEFT - RIGHT
    height = TOP + ROW * len(rates) + BOTTOM

    def reach(rate: float) -> float:
        return room * (math.log10(rate) - low) / (high - low)

    machine = figures["machine"]
    note = f"{machine['cores']} cores, {machine['Python']}, {machine['date'][:10]}; medians; logarithmic scale"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">Updates a second of a locked counter: {escape(_spoken(rates))}</title>',
        f"<style>{STYLE}</style>",
        text(16, 26, "A locked counter, +1 and -1 at once: updates a second", "title"),
        text(16, 46, note, "note"),
    ]
    bottom = TOP + ROW * len(rates)
    for power in range(low, math.floor(high) + 1):
        x = LEFT + reach(10**power)
        parts.append(f'<line class="line" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(text(x, bottom + 18, f"{10**power:,}", "note", "middle"))
    for number, (row, rate) in enumerate(rates.items()):
        y = TOP + ROW * number
        side = "ours" if row.startswith("interlock") else "peer"
        parts.append(text(LEFT - 10, y + 15, ROWS[row], "", "end"))
        parts.append(f'<rect class="{side}" x="{LEFT}" y="{y}" width="{reach(rate):.1f}" height="{BAR}" rx="2"/>')
        parts.append(text(LEFT + reach(rate) + 8, y + 15, f"{_round(rate):,}", ""))
    return "\n".join([*parts, "</svg>", ""])


def _round(rate: float) -> int:
    """Round to two digits: more would be noise."""
    return int(round(rate, 1 - math.floor(math.log10(rate))))


def _spoken(rates: dict[str, float]) -> str:
    return "; ".join(f"{ROWS[row]}: {_round(rate):,}" for row, rate in rates.items())


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(json.loads(RESULTS.read_text())))
