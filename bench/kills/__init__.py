"""Faults while tasks flow, on our transport and on kombu's: what is lost, what runs twice, and what comes back when.

python -m bench.kills [--faults 20] [--pool threads|prefork] [--seed 1]      workers are killed, on both transports
python -m bench.kills --chaos --minutes 1                                    faults of all kinds, on ours alone
"""
