"""Lets primitives travel as Celery arguments, through the JSON serializer. It imports kombu only when called."""

from interlock._primitive import Primitive, attach


def register_with_kombu() -> None:
    """Teach kombu's JSON to carry primitives: kind, name and parameters, but no code, address or password.

    Call this once in the module that makes the Celery app: producers and workers both need it. If a primitive has a
    `client=` of another address than `REDIS_URL` gives, kombu refuses to send it, with a
    `kombu.exceptions.EncodeError`.

    Raises:
        ImportError: kombu is not installed.
    """
    from kombu.utils.json import register_type

    register_type(Primitive, "interlock", lambda thing: thing.travelling(), attach)
