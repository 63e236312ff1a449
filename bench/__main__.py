"""`python -m bench` measures the locks."""

from bench.harness import running
from bench.locks.__main__ import main

if __name__ == "__main__":
    running.run(main)
