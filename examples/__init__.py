"""One short producer script for each program of the tutorial: `python -m examples.threads`."""
