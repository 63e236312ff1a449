"""Four programs that measure, one in each folder; they share what stands in `harness`.

    .venv/bin/python -m bench            the Lock beside the locks of other packages
    .venv/bin/python -m bench.counter    the tutorial's locked counter beside the locks of one machine
    .venv/bin/python -m bench.lesson     which kind of concurrency fits which work
    .venv/bin/python -m bench.queue      the workers beside stock Celery, dramatiq and taskiq

Each starts a server of its own. `--help` tells its options, `--save` writes its figures into bench/results.
"""

import sys

from bench.harness import install

# Before anything imports redis: redis-py looks for hiredis once, and every lock has to use the same parser.
sys.path.append(str(install.FOLDER))
