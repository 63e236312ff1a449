"""The sweeps of the test process itself: it has other limits than the workers that tests start."""

import math
import sys


def end_sweeps():
    """Have this process return no messages from now on, and its threads wait instead of asking again and again."""
    transport = sys.modules.get("tasks.transport.deliveries")  # not imported here: that reads the settings
    for deliveries in transport.all_deliveries() if transport else ():
        deliveries._sweep = lambda _, each=deliveries: setattr(each, "_sweep_at", math.inf)


def sweep_again(deliveries):
    """Have this process return messages again, for the rest of a test."""
    vars(deliveries).pop("_sweep", None)
    deliveries._sweep_at = 0.0
    deliveries.wake()
