"""For a worker: it subscribes to commands two seconds later than it would."""

import time

from tasks.transport.channel import Channel

subscribe = Channel._subscribe


def subscribe_late(self):
    time.sleep(2.0)
    subscribe(self)


Channel._subscribe = subscribe_late
