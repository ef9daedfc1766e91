"""One Ray cluster for all tests that need one."""

from ray_cluster import nodes

__all__ = ["nodes"]
