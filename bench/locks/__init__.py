"""Interlock's Lock measured beside the locks of others: same server, same machine, same run.

    .venv/bin/python -m bench            all of it, under four minutes on two cores
    .venv/bin/python -m bench --quick    one short turn: does everything work?
    .venv/bin/python -m bench --save     also writes bench/results/locks.json

It starts a server of its own on a free port of the loopback address and ends it. Only ratios of one run mean anything:
every table is one run's, the locks take turns within it, and the machine's noise is printed beside.
"""
