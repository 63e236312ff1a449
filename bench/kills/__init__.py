"""Faults while tasks flow, on our transport and on kombu's: what is lost, what runs twice, and what comes back when.

python -m bench.kills [--faults 20] [--tasks 0] [--pool threads|prefork|coroutines] [--seed 1]
                                                                             workers are killed, on both transports
python -m bench.kills --chaos --minutes 1                                    faults of all kinds, on ours alone
"""

RATE = 120  # tasks a second
TIMEOUT = 10  # seconds until a killed worker's messages come back; with kombu, no task may take longer
