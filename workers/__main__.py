"""`python -m workers`."""

import signal
import sys

for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)  # until there is something to stop, a signal ends us without a word

try:
    from workers.local_stack.cli import main
except ValueError as error:  # a variable that is wrong: settings are checked when they are loaded
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    main()
