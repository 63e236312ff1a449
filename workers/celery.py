"""The app as workers and Flower load it (`celery -A workers`): with the life cycle of a worker added."""

import sys

try:
    from tasks.celery_app import app
except ValueError as error:  # a variable that is wrong: Celery would wrap this in a traceback
    sys.exit(f"error: {error}")

from workers.extensions import lifecycle, transport

transport.install()
lifecycle.install(app)

__all__ = ["app"]
