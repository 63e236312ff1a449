"""CPU-bound work written as `async def`: it never awaits, so it keeps the event loop, and all others wait."""

from typing import Any

from tasks import app, mandelbrot


@app.task
async def draw_tile(x: int, y: int, side: int, width: int, height: int) -> dict[str, Any]:
    """As the task of that name in tasks/mandelbrot.py."""
    drawn: dict[str, Any] = mandelbrot.draw_tile(x, y, side, width, height)
    return drawn
