"""Many tasks at once: `enqueue_many` enqueues them, a `Batch` waits for their results, an `Executor` looks like a pool.

`jobs.py` checks what the caller gives, `messages.py` makes Celery's messages of it, `sending.py` puts them on the
queue, and `following.py` reads which have ended.
"""

from tasks.enqueuing.batch import Batch
from tasks.enqueuing.executor import Executor
from tasks.enqueuing.futures import TaskFuture
from tasks.enqueuing.outcomes import Outcome, RemoteTracebackError
from tasks.enqueuing.sending import QueueFullError, enqueue_many

__all__ = ["Batch", "Executor", "Outcome", "QueueFullError", "RemoteTracebackError", "TaskFuture", "enqueue_many"]
