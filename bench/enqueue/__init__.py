"""How fast a program enqueues: `enqueue_many` beside a loop of `delay()`, and what the program holds in memory."""
