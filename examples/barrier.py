"""Four tasks, each at its own pace and on two workers, go three rounds; an interlock.Barrier keeps them together.

Run:      make up, then in another terminal: python -m examples.barrier
You see:  "Round 1 done." four times before the first "Round 2 done.", and so on.
"""

from celery import group

import interlock
from examples._claims import rounds_do_not_overlap
from examples._runner import conclude
from tasks import go_rounds, watch

if __name__ == "__main__":
    line = interlock.Barrier(4)
    parties = [go_rounds.s(line, 3, pause) for pause in (0.02, 0.05, 0.1)]
    slowest = go_rounds.s(line, 3, 0.2).set(queue="cpu")

    runs, _ = watch(group([*parties, slowest]).delay())
    conclude(rounds_do_not_overlap(runs))
