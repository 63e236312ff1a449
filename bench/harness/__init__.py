"""The parts that all three programs use: the server, the processes that measure, a slow network, the noise."""
