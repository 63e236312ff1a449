"""A worker that gives up storing a result soon."""

from tasks import app

app.conf.result_backend_max_retries = 2
