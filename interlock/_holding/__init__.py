"""What this process holds: its holds and waits, the local values of a lock, the turns of threads, lingering locks."""
