"""The check that this machine's clock agrees with the server's."""

import time
from dataclasses import dataclass

import redis

# Two seconds are far more than NTP leaves, which is some 10 ms, and about as much as tasks bear. The server's clock
# alone ends leases and finds delayed tasks due. But a worker drops a task whose `expires` is over by its own clock, a
# producer computes `eta` and `expires` by its own, and Flower orders events by the workers' clocks. Users give these
# times in whole seconds: a worker whose clock is 120 seconds ahead drops each task that expires within two minutes.
APART_MAX = 2.0  # seconds
QUESTIONS = 5  # the one with the shortest round trip counts


@dataclass(frozen=True)
class Difference:
    """By how much the server's clock is ahead of ours, in seconds, and how far off that may be."""

    ahead: float
    uncertain: float

    def __str__(self) -> str:
        return f"{abs(self.ahead):.{1 if abs(self.ahead) >= 1 else 3}f} s {'ahead of' if self.ahead > 0 else 'behind'}"


def difference(client: redis.Redis) -> Difference:
    """Compare the clocks: `TIME` was read at some moment of the round trip, so half of that is the uncertainty."""
    found = []
    for _ in range(QUESTIONS):
        began, asked = time.monotonic(), time.time()
        seconds, microseconds = client.time()
        half = (time.monotonic() - began) / 2
        found.append(Difference(seconds + microseconds / 1e6 - asked - half, half))
    return min(found, key=lambda each: each.uncertain)


def problem(found: Difference) -> str | None:
    """Return one line if the clocks are too far apart for sure; None: they may well agree."""
    if abs(found.ahead) - found.uncertain <= APART_MAX:
        return None
    return (
        f"the clock of Redis's machine is {found} this machine's: {APART_MAX:.0f} s at most are allowed, "
        "since tasks expire by the workers' clocks; let NTP set the clock that is wrong (`timedatectl set-ntp true`)"
    )
