"""Lets primitives travel as Celery arguments, through the JSON serializer. Imports kombu only when called."""

from interlock._primitive import Primitive, attach


def register_with_kombu() -> None:
    """Teach kombu's JSON to carry primitives: kind, name and parameters, never code, an address or a password.

    Call it once in the module that makes the Celery app: producers and workers both need it. One with a `client=` of
    another address than `REDIS_URL` gives is refused when it is sent, with a `kombu.exceptions.EncodeError`.

    Raises:
        ImportError: kombu is not installed.
    """
    from kombu.utils.json import register_type

    register_type(Primitive, "interlock", lambda thing: thing.travelling(), attach)
