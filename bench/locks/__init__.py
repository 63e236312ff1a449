"""Measure Interlock's Lock beside the locks of other packages, on one server and one machine, in one run.

    .venv/bin/python -m bench            all of it, under four minutes on two cores
    .venv/bin/python -m bench --quick    one short turn: does everything work?
    .venv/bin/python -m bench --save     also writes bench/results/locks.json

It starts a server of its own on a free port of the loopback address, and ends it. Only ratios within one run mean
anything. So every table comes from one run, in which the locks take turns, and the machine's noise is printed too.
"""
