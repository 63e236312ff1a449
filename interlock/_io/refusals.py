"""What a server answers instead of doing what it is asked: a refusal that ends by itself, or one that stays.

A refusal that ends by itself is treated as no answer: it is repeated where a call may be repeated, and heard by the
caller where it may not. This is the one place that says which refusals those are.
"""

import re

import redis

from interlock.errors import RefusedError, UnreachableError

# The words that such errors begin with, and what helps.
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
REPEATS = (0.05, 0.1, 0.2)  # seconds before each repetition of a call that was refused, until its caller hears of it
# At the beginning; before Redis 7, within what a script says; in a pipeline, behind redis-py's own words.
_word = re.compile(rf"(?:^|[\s:]-|error: )({'|'.join(HEALING)})\s")
NOT_ALLOWED = re.compile(r"NOPERM|no permissions|ACL failure|user executing the script", re.IGNORECASE)


class PassingRefusalError(UnreachableError):
    """The server is there, and refuses for now."""


# redis-py takes some of the words off the text, and makes a class of them.
_of_class: dict[type[BaseException], str] = {
    redis.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",  # before the next one, of which it is a kind
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.ReadOnlyError: "READONLY",
}


def word_of(error: object) -> str | None:
    """The word of a refusal that ends by itself; None: it is another error, or none."""
    for kind, word in _of_class.items():
        if isinstance(error, kind):
            return word
    found = _word.search(f"{error} ") if isinstance(error, redis.ResponseError) else None
    return found[1] if found else None


def passing(error: BaseException) -> PassingRefusalError | None:
    """What callers hear of a refusal that ends by itself; None: it is another error."""
    word = word_of(error)
    if word is None:
        return None
    return PassingRefusalError(f"Redis refuses for now: {_said(error, word)}; {HEALING[word]}")


def ours(error: redis.RedisError) -> Exception:
    """What callers hear of an error that the server answered."""
    if isinstance(error, redis.exceptions.NoScriptError):  # then the script is sent whole
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
    """What the server said, in one line that has its word."""
    text = " ".join(str(error).split())
    text = re.sub(r"\.? script: .*$", "", text).rstrip(".")
    return text if word in text else f"{word} {text}"
