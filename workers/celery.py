"""The app as workers and Flower load it (`celery -A workers`), with the extensions installed."""

import sys

try:
    from tasks.celery_app import app
except ValueError as error:  # a variable is wrong: Celery would show a traceback
    sys.exit(f"error: {error}")

from workers.extensions import lifecycle

lifecycle.install(app)

__all__ = ["app"]
