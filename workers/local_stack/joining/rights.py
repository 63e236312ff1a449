"""The check that the user of REDIS_URL may do what a worker does: deploy/users.acl has its rights.

Interlock's own check (`interlock._protocol.rights`) finds what locks and values lack. This one adds queues, results and
commands to workers. Each try changes nothing, and needs no right of an administrator.
"""

import redis
from redis.exceptions import NoPermissionError

from interlock import address
from tasks.celery_app import app
from tasks.celery_app.settings import AIO, CPU, IO
from tasks.transport.scripts import Keys


def _tries(scratch: str) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return commands, each with the right that is missing if Redis refuses its key.

    Redis names one missing right at a time, the command before the key. So the keys are tried with commands that
    interlock uses too, and the user has those by now.
    """
    keys, prefix = Keys.of(app), address.prefix()
    of_keys: list[tuple[str, tuple[str | int, ...]]] = [
        *((f"~{prefix}{queue}", ("PERSIST", prefix + queue)) for queue in (CPU, IO, AIO)),
        *((f"~{prefix}{queue}:*", ("DEL", f"{prefix}{queue}:rights")) for queue in (CPU, IO, AIO)),
        (f"~{prefix}unacked*", ("HDEL", keys.deliveries, "")),
        (f"~{prefix}unacked*", ("ZREM", keys.deadlines, "")),
        (f"~{prefix}delayed", ("ZREM", keys.delayed, "")),
        (f"~{prefix}dead-letters", ("EXISTS", keys.dead_letters)),
        (f"~{prefix}celery-task-meta-*", ("DEL", f"{prefix}celery-task-meta-rights")),
        (f"~{prefix}_kombu.binding*", ("SREM", f"{prefix}_kombu.binding.celery.pidbox", "")),
        (f"~{prefix}*.reply.celery.pidbox*", ("DEL", f"{prefix}rights.reply.celery.pidbox")),
    ]
    of_commands: list[tuple[str | int, ...]] = [
        ("GETRANGE", scratch, 0, 0), ("MGET", scratch), ("SETEX", scratch, 1, ""), ("EXPIRE", scratch, 1),
        ("DEL", scratch), ("LINDEX", scratch, 0), ("RPOP", scratch), ("LTRIM", scratch, 0, 0),
        ("SISMEMBER", scratch, ""), ("ZCOUNT", scratch, 0, 0), ("SCRIPT EXISTS", ""),
    ]  # fmt: skip
    return [*of_keys, *((f"~{prefix}interlock:*", command) for command in of_commands)]


def missing(client: redis.Redis, scratch: str) -> list[str]:
    """Return the rights that the user lacks, as `ACL SETUSER` takes them. `scratch` is a key that nothing else uses."""
    tries = _tries(scratch)
    with client.pipeline(transaction=False) as many:
        for _, command in tries:
            many.execute_command(*command)  # type: ignore[no-untyped-call]
        answers = many.execute(raise_on_error=False)
    lacking: dict[str, None] = {}
    for (right, command), answer in zip(tries, answers, strict=True):
        if isinstance(answer, NoPermissionError):
            of_key = "key" in str(answer).lower()
            lacking[right if of_key else f"+{str(command[0]).lower().replace(' ', '|')}"] = None
    return [*lacking, *_unheard(client)]


def _unheard(client: redis.Redis) -> list[str]:
    """Return the rights that the user lacks to hear commands and results: the right to publish is the same."""
    database = client.connection_pool.connection_kwargs.get("db") or 0
    prefix = address.prefix()
    lacking = []
    for channel, right in (
        (f"{prefix}/{database}.celery.pidbox", f"&{prefix}/{database}.celery.pidbox"),
        (f"{prefix}/{database}.celeryev/worker.heartbeat", f"&{prefix}/{database}.celeryev/*"),
        (f"{prefix}celery-task-meta-rights", f"&{prefix}celery-task-meta-*"),
    ):
        with client.pubsub() as subscription:  # type: ignore[no-untyped-call]
            try:
                subscription.subscribe(channel)
                subscription.get_message(timeout=5.0)
            except NoPermissionError as error:
                lacking.append(right if "channel" in str(error).lower() else "+subscribe")
    return lacking
