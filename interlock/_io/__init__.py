"""How a command reaches a server: steps of a procedure, the wire, the nodes of a Cluster, refusals that pass."""
