"""CPU-bound work as a coroutine: it never awaits, so it keeps the event loop, and all other coroutines wait."""

from typing import Any

from tasks import app, mandelbrot


@app.task
async def draw_tile(x: int, y: int, side: int, width: int, height: int) -> dict[str, Any]:
    """Draw a tile, as the task of the same name in `tasks` does."""
    drawn: dict[str, Any] = mandelbrot.draw_tile(x, y, side, width, height)
    return drawn
