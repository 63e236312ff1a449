"""The local stack (Redis, three workers, Flower) and its command line: `python -m workers up | demo | run | status`."""
