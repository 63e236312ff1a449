"""Draw the lesson in three panels: speed-ups of CPU-bound work and of waiting, and the memory that each pool takes.

    .venv/bin/python -m bench.lesson.picture    the picture, and the tables of the page, from the saved figures

The picture has no background, and its colours follow the page's: dark text on light, light text on dark.
"""

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.harness.drawing import STYLE, text
from bench.lesson import page
from bench.lesson.page import Row

PICTURE = page.PAGE.parent.parent / "pictures" / "lesson.svg"
WIDTH, EDGE, GAP = 800, 16, 30  # px
TOP, DEEP, BOTTOM = 104, 190, 40  # px
SHADES = """
  .value { font-size: 11px; }
  .first { fill: #8b949e; }
  .second { fill: #b35900; }
  .third { fill: #1a7f5a; }
  @media (prefers-color-scheme: dark) {
    .first { fill: #7d8590; }
    .second { fill: #e3a04f; }
    .third { fill: #3fb984; }
  }
"""
CLASSES = ("first", "second", "third")


def draw(figures: dict[str, Any]) -> str:
    """Return the picture of these figures."""
    one, *others = page.rows(figures)
    pools = list(dict.fromkeys(row.pool for row in others))
    height = TOP + DEEP + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">{escape(_spoken(others))}</title>',
        f"<style>{STYLE}{SHADES}</style>",
        text(EDGE, 26, "The same tasks, 1 to 8 at once" if _most(others) == 8 else "The same tasks", "title"),
        text(EDGE, 46, page.title(figures), "note"),
    ]
    x = WIDTH - EDGE
    for number in reversed(range(len(pools))):  # the legend, from the right
        x -= 12 + 8 * len(pools[number])
        parts.append(text(x, 26, pools[number], ""))
        parts.append(f'<rect class="{CLASSES[number]}" x="{x - 18}" y="15" width="12" height="12" rx="2"/>')
        x -= 30
    panels = (
        ("CPU-bound: speed-up", [row.cpu_speedup for row in others], 1.0, "{:.1f}"),
        ("waiting: speed-up", [row.io_speedup for row in others], 1.0, "{:.1f}"),
        ("memory, MB", [row.own_mb for row in others], one.own_mb, "{:.0f}"),
    )
    room = (WIDTH - 2 * EDGE - GAP * (len(panels) - 1)) / len(panels)
    speed = max(*(row.cpu_speedup for row in others), *(row.io_speedup for row in others))
    for number, (title, values, level, form) in enumerate(panels):
        scale = max(*values, level) if title.startswith("memory") else speed
        left = EDGE + number * (room + GAP)
        parts += _panel(left, room, title, others, pools, values, level, DEEP / scale, form)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    left: float, room: float, title: str, rows: list[Row], pools: list[str], values: list[float], level: float,
    scale: float, form: str,
) -> list[str]:  # fmt: skip
    """Return a panel: a group of bars for each number at once, and a line at the level of one thread."""
    bottom = TOP + DEEP
    counts = sorted({row.at_once for row in rows})
    group = room / len(counts)
    bar = (group - 8) / len(pools)
    parts = [text(left, TOP - 26, title, "")]
    for row, value in zip(rows, values, strict=True):
        x = left + group * counts.index(row.at_once) + 4 + bar * pools.index(row.pool)
        y = bottom - scale * value
        style = CLASSES[pools.index(row.pool)]
        parts.append(
            f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{bar - 1:.1f}" height="{scale * value:.1f}" rx="1"/>'
        )
        parts.append(text(x + (bar - 1) / 2, y - 4, form.format(value), "note value", "middle"))
    for number, count in enumerate(counts):
        parts.append(text(left + group * (number + 0.5), bottom + 16, str(count), "note", "middle"))
    y = bottom - scale * level
    parts.append(f'<line class="line" x1="{left:.1f}" y1="{bottom}" x2="{left + room:.1f}" y2="{bottom}"/>')
    parts.append(
        f'<line class="line" stroke-dasharray="4 3" x1="{left:.1f}" y1="{y:.1f}" x2="{left + room:.1f}" y2="{y:.1f}"/>'
    )
    parts.append(text(left + room / 2, bottom + 34, "at once; dashed: one thread", "note", "middle"))
    return parts


def _most(rows: list[Row]) -> int:
    return max(row.at_once for row in rows)


def _spoken(rows: list[Row]) -> str:
    most = _most(rows)
    return f"Speed-ups at {most} at once: " + "; ".join(
        f"{row.pool}: CPU-bound {row.cpu_speedup:.1f}, waiting {row.io_speedup:.1f}, {row.own_mb:.0f} MB"
        for row in rows
        if row.at_once == most
    )


def write(figures: dict[str, Any], path: Path) -> None:
    """Draw the picture into a file; make its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(figures))


if __name__ == "__main__":
    saved = json.loads(page.RESULTS.read_text())
    page.write(saved)
    write(saved, PICTURE)
