"""What this process holds: permits and waits, local values of a lock, whose turn it is, locks that linger."""
