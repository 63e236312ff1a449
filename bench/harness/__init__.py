"""The parts that the programs use: the server, the processes that measure, a slow network, the noise."""
