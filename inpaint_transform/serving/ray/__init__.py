"""Painters on the machines of a Ray cluster, and the engine that a node's server holds in place of one of its own."""
