"""Four tasks, on two workers and each as fast as it is, go three rounds; an interlock.Barrier keeps them together.

Run:      make up, then in another terminal: python -m examples.barrier
You see:  "Round 1 done." four times before the first "Round 2 done.", and so on.
"""

import sys
from itertools import pairwise

from celery import group

import interlock
from examples._verdict import conclude
from tasks import go_rounds, watch

ROUNDS = 3


def main() -> int:
    line = interlock.Barrier(4)
    parties = [go_rounds.s(line, ROUNDS, pause) for pause in (0.02, 0.05, 0.1)]
    runs, _ = watch(group([*parties, go_rounds.s(line, ROUNDS, 0.2).set(queue="cpu")]).delay())

    rounds = list(zip(*(run["rounds"] for run in runs), strict=True))
    gaps = [min(began for began, _ in new) - max(ended for _, ended in old) for old, new in pairwise(rounds)]
    return conclude(
        f"{ROUNDS} rounds, the next begins {1000 * min(gaps):.1f} ms after the last work or later",
        "nobody enters a round before all have finished the one before",
        min(gaps) >= 0,
        tasks=4,
        processes=[(run["host"], run["pid"]) for run in runs],
    )


if __name__ == "__main__":
    sys.exit(main())
