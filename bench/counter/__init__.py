"""Measure the tutorial's locked counter, two processes and a million updates each, beside the locks of one machine.

    .venv/bin/python -m bench.counter            all of it, under four minutes on two cores
    .venv/bin/python -m bench.counter --quick    one short turn: does everything work?
    .venv/bin/python -m bench.counter --full     100,000 finished tasks instead of 2,000, in one turn
    .venv/bin/python -m bench.counter --save     also writes bench/results/counter.json

It starts a server of its own, as `python -m bench` does; here too, only ratios within one run mean anything.
"""
