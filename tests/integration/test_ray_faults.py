"""Faults of a cluster: painters, nodes, servers, jobs and heads that are lost, and clusters that cannot be joined."""

import json
import os
import signal
import socket
import threading

import pytest
from ray_cluster import (
    MEMORY,
    RESOURCE,
    client_of,
    needs_ray,
    painting,
    processes_with,
    ray_spec,
    rows,
)
from serving import (
    PATIENCE_S,
    is_right,
    request,
    runtime,  # noqa: F401 - a fixture
    server_of,
    start_script,
    wait_until,
)

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.ray import cluster, painters
from inpaint_transform.serving.registry import shutdown
from inpaint_transform.serving.session import current_session

pytestmark = [
    needs_ray,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.filterwarnings("ignore:the inpainting server got batches:RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def engine_by_id(runtime, monkeypatch):  # noqa: F811 - the fixture
    """Servers and painters agree on who is the engine."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:by_id")


def paint_meanwhile(client, asked):
    """Paint in a thread; its results come into the list."""
    results = []

    def work():
        try:
            results.extend(client.paint(asked))
        except InpaintError as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def said(actors):
    return list(painters.look(actors).values())


def test_a_painter_killed_in_the_middle_of_a_call(nodes):
    with painting(nodes, 2) as started:
        client = client_of(nodes)
        asked = [request("sleep 0.1", seed=i) for i in range(32)]
        assert client.size
        thread, results = paint_meanwhile(client, asked)
        assert wait_until(lambda: all(row.get("running") for row in said(started)))
        os.kill(said(started)[0]["pid"], signal.SIGKILL)
        thread.join()
        assert len(results) == len(asked)
        assert all(map(is_right, results, asked))
        # Ray starts it anew, and it is asked again.
        assert wait_until(lambda: all(row["usable"] for row in rows(client)), PATIENCE_S)


def test_a_request_that_kills_every_painter_is_given_up(nodes):
    with painting(nodes, 1):
        client = client_of(nodes)
        with pytest.raises(InpaintError, match="lost|left"):
            client.paint([request("die")])
        asked = request(seed=1)
        assert wait_until(lambda: all(row["usable"] for row in rows(client)), PATIENCE_S)
        assert is_right(client.paint([asked])[0], asked)


def test_a_node_killed_in_the_middle_of_a_call(nodes):
    extra = nodes.add()
    try:
        with painting(nodes, 3) as started:
            client = client_of(nodes)
            asked = [request("sleep 0.1", seed=i) for i in range(48)]
            assert client.size
            thread, results = paint_meanwhile(client, asked)
            assert wait_until(lambda: all(row.get("running") for row in said(started)))
            nodes.kill(extra)
            thread.join()
            assert len(results) == len(asked)
            assert all(map(is_right, results, asked))
    finally:
        nodes.kill(extra)


def test_all_painters_gone(nodes):
    with painting(nodes, 2) as started:
        client = client_of(nodes)
        assert client.size
        thread, results = paint_meanwhile(client, [request("sleep 60")])
        assert wait_until(lambda: any(row.get("running") for row in said(started)))
        painters.end(started, drain_s=0.0)
        thread.join()
        assert "no painter" in str(results[0])
        with pytest.raises(InpaintError, match="no painter.*--ray --painters"):  # at once, from now on
            client.paint([request()])
        more = painters.start(ray_spec(nodes), 1, resource=RESOURCE)
        try:
            assert wait_until(lambda: any(row["usable"] for row in rows(client)), 10)
            asked = request(seed=7)
            assert is_right(client.paint([asked])[0], asked)
        finally:
            painters.end(more, drain_s=0.0)


def test_the_nodes_server_killed(nodes):
    with painting(nodes, 1) as started:
        client = client_of(nodes)
        first = server_of(client) if client.size else None
        asked = [request("sleep 0.15", seed=i) for i in range(32)]
        thread, results = paint_meanwhile(client, asked)
        assert wait_until(lambda: said(started)[0]["queued"] > 0)
        first.kill()
        thread.join()
        assert all(map(is_right, results, asked))
        assert len(results) == len(asked)
        assert server_of(client) != first
        # What the first one had queued was painted for nobody, or dropped; nothing of it waits.
        assert wait_until(lambda: said(started)[0]["servers"] == 1, 10)
        assert said(started)[0]["queued"] == 0


def test_painters_drop_what_a_killed_server_had_queued(nodes):
    job = """
from ray_cluster import ray_spec
client = connect(ModelSpec(**json.loads(sys.argv[1])))
say(client.size)
client.paint([request("sleep 4", seed=i) for i in range(24)])
"""
    with painting(nodes, 1, max_batch_size=1) as started:
        process = start_script(job, json.dumps(ray_spec(nodes, max_batch_size=1).to_dict()))
        assert process.stdout.readline()
        assert wait_until(lambda: said(started)[0]["queued"] > 4)
        # The whole job, as a scheduler does: its server notices, and painters hear nothing from it any more.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert wait_until(lambda: said(started)[0]["queued"] == 0, 15)
        assert said(started)[0]["dropped"] > 4
        assert said(started)[0]["servers"] == 0
        token = os.environ["RAY_AUTH_TOKEN"]
        assert wait_until(lambda: not any("serving.server" in line for line in processes_with(token)), 15)


def test_the_head_restarted(nodes):
    from ray.cluster_utils import Cluster

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = {"gcs_server_port": port, "num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    head = Cluster(initialize_head=True, head_node_args=arguments)
    spec = ModelSpec("stand-in", device="cpu", serving="ray", address=head.address)
    client = SharedInpainter(spec, current_session())
    asked = request(seed=1)
    try:
        cluster.join(head.address)
        started = painters.start(spec, 1)
        assert is_right(client.paint([asked])[0], asked)
        cluster.leave()
        head.shutdown()
        with pytest.raises(InpaintError, match="address=|lost"):
            client.paint([asked])
        head = Cluster(initialize_head=True, head_node_args=arguments)
        assert head.address == spec.address
        cluster.join(head.address)
        started = painters.start(spec, 1)
        assert is_right(client.paint([asked])[0], asked)
        painters.end(started, drain_s=0.0)
    finally:
        cluster.leave()
        shutdown()
        head.shutdown()


def test_a_cluster_of_another_version(nodes, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "2.52.0")
    with pytest.raises(InpaintError, match="2.52.0.*same versions of Ray and Python"):
        cluster.join(nodes.address)
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_the_jobs_error(nodes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    client = SharedInpainter(ModelSpec("stand-in", serving="ray", address=address), current_session())
    with pytest.raises(InpaintError, match=f"address='{address}'.*ray start --head"):
        client.paint([request()])


def test_a_cluster_without_painters_is_the_jobs_error(nodes):
    with pytest.raises(InpaintError, match="has no painter of 'stand-in'.*--ray --painters"):
        client_of(nodes).paint([request()])
