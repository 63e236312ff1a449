"""The app as workers and Flower load it (`celery -A workers`): with the life cycle of a worker added."""

from tasks.app import app
from workers import lifecycle

lifecycle.install(app)

__all__ = ["app"]
