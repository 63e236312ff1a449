"""Measure which kind of concurrency fits which work: the same CPU-bound and I/O-bound tasks on each worker pool.

    .venv/bin/python -m bench.lesson            all of it, in two minutes on two cores
    .venv/bin/python -m bench.lesson --quick    few pieces, once: does everything work?
    .venv/bin/python -m bench.lesson --save     also writes bench/results/lesson.json, the picture and docs/lesson.md

It starts a server of its own, and one worker after the other. A speed-up is the time that the tasks take one after the
other, in one thread, over the time that they take on a pool.
"""
