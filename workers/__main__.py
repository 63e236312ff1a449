"""`python -m workers`."""

import sys

try:
    from workers.cli import main
except ValueError as error:  # a variable that is wrong: settings are checked when they are loaded
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    main()
