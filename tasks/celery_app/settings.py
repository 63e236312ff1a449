"""Celery's settings, each with its reason: producers, workers, Flower and start-up checks all load these.

Celery's defaults lose work when a worker dies, and let a producer hang for 19 seconds when Redis is down.
"""

from typing import Any

from kombu import Queue
from redis.connection import parse_url

from tasks.celery_app.environment import Environment

CPU, IO, AIO = "cpu", "io", "aio"
SOCKET_TIMEOUT = 3  # s without an answer; a producer gives up after five times as long


def as_celery_says(url: str) -> str:
    """Return REDIS_URL as Celery writes it: another scheme for a socket, and an explicit check of the certificate."""
    if url.startswith("unix://"):
        return url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host=")
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


def certificates(url: str) -> dict[str, Any] | None:
    """Return what a rediss:// address says of certificates, as Flower takes it; None: the address is another."""
    if not url.startswith("rediss://"):
        return None
    parsed: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return {name: value for name, value in parsed.items() if name.startswith("ssl_")}


def settings(environment: Environment) -> dict[str, Any]:
    """Return the settings of the app."""
    url = as_celery_says(environment.redis_url)
    by_network = not environment.redis_url.startswith("unix://")  # a local socket has nothing to keep alive
    quick_retries = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
    return {
        # One Redis for all: counters are exact only if messages and values are kept and lost together.
        "broker_url": url,
        "broker_use_ssl": certificates(url),  # workers find it in the address, Flower asks for queues by this alone
        "result_backend": f"tasks.celery_app.results:Backend+{url.removeprefix('redis+')}",
        # --- a worker that dies loses no task ---
        "task_acks_late": True,  # acknowledged at the end: a killed worker's tasks come back
        "task_reject_on_worker_lost": True,  # also if only a child process of the pool was killed
        "task_retry_on_worker_lost": True,  # then as a retry, which is counted: a task that kills its worker stops
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # True loses tasks on Celery 5.7.0
        "worker_prefetch_multiplier": 1,  # a free worker takes the next task: none hoards messages
        "worker_disable_prefetch": True,
        "worker_soft_shutdown_timeout": 10,  # s: then a stopped worker gives back what it cannot finish
        "worker_enable_soft_shutdown_on_idle": True,  # also if all its tasks wait for a countdown
        "broker_connection_retry_on_startup": True,  # workers may start before Redis
        "broker_transport_options": {
            "visibility_timeout": environment.visibility_seconds,  # renewed while the worker lives
            "deliveries_max": environment.deliveries_max,
            "socket_keepalive": by_network,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            "socket_timeout": SOCKET_TIMEOUT,  # without it, a producer waits for ever on a dead connection
            "health_check_interval": 10,  # s until a worker finds a half-open connection
            "sep": ":",
            "global_keyprefix": environment.prefix,
        },
        "task_time_limit": environment.task_seconds_max,  # of processes and coroutines: threads cannot be ended
        # --- a producer hears of an outage in about a second ---
        "task_publish_retry_policy": quick_retries,
        "result_backend_transport_options": {
            "retry_policy": quick_retries,
            "global_keyprefix": environment.prefix,
        },
        "result_backend_always_retry": True,  # a worker that could not store a result tries again
        "result_backend_max_retries": 40,  # with pauses of half a second: most outages are shorter
        "result_backend_max_sleep_between_retries_ms": 1000,
        "redis_backend_health_check_interval": 30,  # s
        "redis_socket_keepalive": by_network,
        "redis_socket_timeout": SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": SOCKET_TIMEOUT,
        # --- results ---
        "result_expires": environment.result_seconds,
        "result_extended": True,  # stores name and arguments with the result
        "task_track_started": True,
        # --- JSON only: a worker never runs what arrives as code ---
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # --- one queue for each kind of work ---
        "task_queues": tuple(
            Queue(name, routing_key=name) for name in (CPU, IO, AIO)
        ),  # explicit: a misspelt queue is an error, and Flower knows all queues at once
        "task_create_missing_queues": False,
        "task_default_queue": CPU,
        "task_routes": ("tasks.celery_app:route_as_declared",),  # each task names its own: @app.task(queue="io")
        # --- events, for Flower ---
        "worker_send_task_events": True,
        "task_send_sent_event": False,  # the worker's events are enough, and publishing stays one round trip
        "timezone": "UTC",
    }
