"""kombu's Redis transport, except that no message is ever nowhere.

kombu takes a message off its queue, and notes a round trip later that the worker has it: a worker that is killed in
between loses the message. It never renews that note, so the messages of a killed worker come back after the longest run
of any task. Here,

- one script takes messages and notes them (`lua/take.lua`): a *delivery* has a token and a deadline;
- a thread of the consumer renews what it holds (`deliveries.py`), so the messages of one that vanished are back soon;
- an acknowledgement names the delivery's token, so it cannot remove somebody else's delivery of the same message;
- messages with a due time wait in Redis, not in a worker's memory;
- a message whose workers vanish again and again becomes a dead letter.

`channel.py` is what kombu sees. Plain kombu producers may push to the same queues.
"""

from tasks.transport.channel import Transport

__all__ = ["Transport"]
