"""One process's session with one Redis: it acquires, releases and waits, renews leases and reads grants."""
