"""Celery's worker, extended: its consumer, transport, pools and events, and what it does at its start and its end."""
