"""Refusals: what a server answers when it does not do what a call asks, for a while or for good.

Interlock treats a refusal that ends by itself like a missing answer: it repeats a call that may be repeated, and gives
any other call's caller the error. This module alone says which refusals end by themselves.
"""

import re

import redis

from interlock.errors import RefusedError, UnreachableError

# The words with which such refusals begin, and what a person can do about each.
HEALING = {
    "BUSY": "wait until the script that runs there ends, or end it with SCRIPT KILL",
    "CLUSTERDOWN": "start the missing nodes: `redis-cli --cluster check` names them",
    "LOADING": "wait until it has read its data",
    "MASTERDOWN": "it is a replica without its master: start that one, or use its address",
    "MISCONF": "its log says why it cannot write to its disk: make room there, or mend what it names",
    "NOREPLICAS": "start its replicas, or lower its min-replicas-to-write",
    "OOM": "it is full: raise its maxmemory, or delete what nobody needs",
    "READONLY": "it is a replica: use its master's address",
    "TRYAGAIN": "wait until the Cluster has moved the slot",
}
# The seconds before each repetition of a refused call. After the last one, the caller gets the error.
REPEATS = (0.05, 0.1, 0.2)
# The word begins the text. Before Redis 7, it stands within what a script says; in a pipeline, it follows words of
# redis-py.
_word = re.compile(rf"(?:^|[\s:]-|error: )({'|'.join(HEALING)})\s")
NOT_ALLOWED = re.compile(r"NOPERM|no permissions|ACL failure|user executing the script", re.IGNORECASE)


class PassingRefusalError(UnreachableError):
    """The server answers, and refuses for now."""


# For these, redis-py removes the word from the text and raises a class of its own.
_of_class: dict[type[BaseException], str] = {
    redis.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",  # stands before ClusterDownError, its base class
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.ReadOnlyError: "READONLY",
}


def word_of(error: object) -> str | None:
    """Return the word that names a refusal that ends by itself; None: it is another error, or no error."""
    for kind, word in _of_class.items():
        if isinstance(error, kind):
            return word
    found = _word.search(f"{error} ") if isinstance(error, redis.ResponseError) else None
    return found[1] if found else None


def passing(error: BaseException) -> PassingRefusalError | None:
    """Return the error that a caller gets for a refusal that ends by itself; None: it is another error."""
    word = word_of(error)
    if word is None:
        return None
    return PassingRefusalError(f"Redis refuses for now: {_said(error, word)}; {HEALING[word]}")


def ours(error: redis.RedisError) -> Exception:
    """Return the error that a caller gets for an error that the server answered."""
    if isinstance(error, redis.exceptions.NoScriptError):  # the caller of the script then sends its whole text
        return error
    if (found := passing(error)) is not None:
        return found
    reason = _said(error)
    if NOT_ALLOWED.search(reason):
        remedy = "give its user the rights of the user interlock in deploy/users.acl"
    elif isinstance(error, redis.AuthenticationError):
        remedy = "give the client a user and a password that it knows"
    elif "WRONGTYPE" in reason:
        remedy = "a key of that name is not ours: choose another name, or another INTERLOCK_PREFIX"
    else:
        remedy = "it would refuse again"
    return RefusedError(f"Redis refuses: {reason}; {remedy}")


def _said(error: BaseException, word: str = "") -> str:
    """Return what the server said, on one line that contains the word."""
    text = " ".join(str(error).split())
    text = re.sub(r"\.? script: .*$", "", text).rstrip(".")
    return text if word in text else f"{word} {text}"
