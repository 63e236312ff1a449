"""Tasks that are due later: what they cost Redis while they wait, and how late each starts.

python -m bench.delays [--count 100000] [--window 400]
"""

FIRST_DUE = 20.0  # seconds after the last was sent
