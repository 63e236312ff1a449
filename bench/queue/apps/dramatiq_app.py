"""dramatiq with its own defaults, on Redis: `dramatiq dramatiq_app`."""

import body
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=body.URL)
if body.KEPT:
    broker.add_middleware(Results(backend=RedisBackend(url=body.URL, use_namespace_prefix_keys=True)))
dramatiq.set_broker(broker)
work = dramatiq.actor(body.work, **({"store_results": True} if body.KEPT else {}))
send = work.send
