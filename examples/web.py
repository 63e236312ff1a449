"""A web service that enqueues tasks, on FastAPI: its event loop waits neither for Redis nor for a worker.

Run:       .venv/bin/pip install fastapi uvicorn && .venv/bin/uvicorn examples.web:web --port 8000
Try:       curl -X POST localhost:8000/squares/12
           curl -X POST localhost:8000/primes?stop=1000000    # answers at once, with an id
           curl localhost:8000/primes/ID                      # and this with the count, once it is there
You see:   {"square": 144, ...}; a wrong number is an error 422, a worker that is not there an error 504.
Needs:     `make up` in another terminal.
"""

from typing import Any

from celery.exceptions import TimeoutError as NotInTimeError
from fastapi import FastAPI, HTTPException

from tasks import app, count_primes, print_square

web = FastAPI(title="tasks")


@web.post("/squares/{number}")
async def square(number: int, timeout: float = 10.0) -> dict[str, Any]:
    """Enqueue a task, and answer with its result."""
    try:
        result = await print_square.adelay(number)
        answer: dict[str, Any] = await result.aget(timeout=timeout)
    except ValueError as error:  # of the task's check, before anything was sent
        raise HTTPException(422, str(error)) from None
    except NotInTimeError as error:
        raise HTTPException(504, str(error)) from None
    return answer


@web.post("/primes", status_code=202)
async def primes(stop: int) -> dict[str, str]:
    """Enqueue a task, and answer with its id."""
    try:
        return {"id": (await count_primes.adelay(0, stop)).id}
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


@web.get("/primes/{id}")
async def counted(id: str) -> dict[str, Any]:
    """Answer with the result of a task, or say that it is not there yet."""
    try:
        return {"state": "done", "result": await app.AsyncResult(id).aget(timeout=0.1)}
    except NotInTimeError:
        return {"state": "not yet"}
