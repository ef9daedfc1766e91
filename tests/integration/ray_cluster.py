"""A Ray cluster of three nodes on this machine for the tests of the painters, and what they have in common."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from serving import HERE, PATIENCE_S, ROOT, wait_until

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.ray import cluster, painters
from inpaint_transform.serving.registry import current_session

# Not importorskip: Ray reads at its import whether it is to use tokens.
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")

MEMORY = 80 << 20
# Of the head and of the nodes for painters; what each test starts takes one "painter".
RESOURCE = "painter"


class Nodes:
    """The cluster: a head, which is the training node too, and nodes for two painters each.

    Attributes:
        address: ``host:port`` of the head.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        arguments = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=arguments)
        self.address: str = self._cluster.address
        for _ in range(2):
            self.add()

    def add(self) -> Any:
        """One more node for painters."""
        return self._cluster.add_node(num_cpus=1, resources={RESOURCE: 2}, object_store_memory=MEMORY)

    def kill(self, node: Any) -> None:
        """Kill a node with all that runs on it, as a power cut does."""
        if node in self._cluster.list_all_nodes():
            self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """A cluster with tokens; nothing of it is left afterwards."""
    home = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    token = secrets.token_hex(32)
    with pytest.MonkeyPatch.context() as patch:
        # What the nodes are started with is what painters run with.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", token)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", home)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(HERE)]))
        patch.setenv(ENGINE_VARIABLE, "standins:by_id")
        try:
            started = Nodes()
            yield started
            started.shutdown()
            assert wait_until(lambda: processes_with(token) == [], PATIENCE_S), processes_with(token)
            assert [path for path in Path("/dev/shm").iterdir() if path.name.startswith(("plasma", "ray"))] == []
        finally:
            shutil.rmtree(home, ignore_errors=True)


def processes_with(token: str) -> list[str]:
    """Whoever has got the cluster's token by its environment: nodes, painters, servers, training jobs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("RAY_AUTH_TOKEN") == token:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return found


@contextmanager
def joined(nodes: Nodes) -> Iterator[None]:
    """This process as a part of the cluster for a while, as a command is."""
    cluster.join(nodes.address)
    try:
        yield
    finally:
        cluster.leave()


@contextmanager
def painting(nodes: Nodes, count: int = 2, name: str = "stand-in", **fields: object) -> Iterator[list[painters.Actor]]:
    """Painters for a while."""
    with joined(nodes):
        started = painters.start(ray_spec(nodes, name, **fields), count, resource=RESOURCE)
        try:
            yield started
        finally:
            painters.end(started, drain_s=0.0)


def ray_spec(nodes: Nodes, name: str = "stand-in", **fields: object) -> ModelSpec:
    return ModelSpec(name, device="cpu", serving="ray", address=nodes.address, **fields)


def rows(client: SharedInpainter) -> list[dict[str, Any]]:
    """What the node's server says of each painter."""
    return client.stats().get("painters", [])


def client_of(nodes: Nodes, name: str = "stand-in", **fields: object) -> SharedInpainter:
    """A client of this node's server, as a worker has."""
    return SharedInpainter(ray_spec(nodes, name, **fields), current_session())
