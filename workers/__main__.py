"""The command line: `python -m workers`."""

import signal
import sys

for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)  # until there is something to stop, a signal ends this process at once

try:
    from workers.local_stack.cli import main
except ValueError as error:  # a variable is wrong: the import checks the settings
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    main()
