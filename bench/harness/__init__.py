"""What the measurements share: a server, processes that measure together, a slow network, the machine's noise."""
