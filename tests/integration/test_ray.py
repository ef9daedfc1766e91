"""Painters on Ray: who paints, in which batches, found and drained, the same pixels as on one machine."""

import json
import threading

import numpy as np
import pytest
from ray_cluster import (
    RESOURCE,
    client_of,
    needs_ray,
    painting,
    ray_spec,
    rows,
)
from serving import (
    is_right,
    request,
    run_script,
    runtime,  # noqa: F401 - a fixture
    wait_until,
)

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.ray import painters
from inpaint_transform.serving.registry import connect

pytestmark = [
    needs_ray,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.filterwarnings("ignore:the inpainting server got batches:RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def engine_by_id(runtime, monkeypatch):  # noqa: F811 - the fixture
    """Servers and painters agree on who is the engine."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:by_id")


def test_all_painters_paint_and_results_keep_their_order(nodes):
    with painting(nodes) as started:
        client = client_of(nodes)
        # The server paints as soon as one painter has greeted it; the other one may take longer than all of this.
        first = request(seed=60)
        assert is_right(client.paint([first])[0], first)
        assert wait_until(lambda: sum(row["usable"] for row in rows(client)) == len(started))
        asked = [request("reject" if i % 5 == 0 else "sleep 0.01", seed=i) for i in range(60)]
        results = client.paint(asked)
        for i, (result, one) in enumerate(zip(results, asked, strict=True)):
            assert result.rejected == "near constant" if i % 5 == 0 else is_right(result, one)
        assert wait_until(lambda: sum(row["requests"] for row in painters.look(started).values()) == 61)
        assert all(row["requests"] for row in painters.look(started).values())
        assert {row["painter"] for row in rows(client)} == {actor.name for actor in started}
        assert all(row["usable"] for row in rows(client))


def test_one_request_that_fails_fails_alone(nodes):
    with painting(nodes, 1):
        client = client_of(nodes)
        with pytest.raises(InpaintError, match="no luck"):
            client.paint([request("raise no luck")])
        with pytest.raises(ValueError, match="no sense"):
            client.paint([request("value no sense")])
        asked = request(seed=3)
        assert is_right(client.paint([asked])[0], asked)


def test_workers_of_a_loader_never_see_ray(nodes):
    with painting(nodes, 1):
        lines = run_script(
            """
            from torch.utils.data import DataLoader
            from ray_cluster import ray_spec
            class Painted:
                def __len__(self): return 12
                def __getitem__(self, i):
                    asked = request(seed=i)
                    right = is_right(connect(model).paint([asked])[0], asked)
                    return right, "ray" in sys.modules, os.getpid()
            model = ModelSpec(**json.loads(sys.argv[1]))
            for right, saw_ray, pid in DataLoader(Painted(), num_workers=2, batch_size=None):
                say(right, saw_ray, pid)
            say("ray" in sys.modules)
            """.replace("\n            ", "\n"),
            json.dumps(ray_spec(nodes).to_dict()),
        )
    said = [json.loads(line) for line in lines]
    assert said.pop() == [False]
    assert [answer[:2] for answer in said] == [[True, False]] * 12
    assert len({answer[2] for answer in said}) == 2


def test_batches_form_across_nodes(nodes):
    with painting(nodes, 1, max_wait_ms=200.0) as started:
        # Two clients with servers of their own, as on two nodes: their specs differ in what does not change pixels.
        clients = [client_of(nodes, timeout_s=50.0 + i, max_wait_ms=float(i)) for i in range(2)]
        busy = threading.Thread(target=clients[0].paint, args=([request("sleep 1")],))
        assert all(client.size for client in clients)
        busy.start()
        assert wait_until(lambda: next(iter(painters.look(started).values()))["running"] == 1)
        asked = [request(seed=i) for i in range(4)]
        both = [threading.Thread(target=client.paint, args=(asked,)) for client in clients]
        for thread in both:
            thread.start()
        for thread in [busy, *both]:
            thread.join()
        (said,) = painters.look(started).values()
        assert said["servers"] == 2
        assert said["batch_sizes"] == {"1": 1, "8": 1}


def test_a_painter_with_other_settings_is_refused(nodes):
    with (
        painting(nodes, 1, steps=9),
        pytest.raises(InpaintError, match=r"steps=8: the painters there run with 9") as told,
    ):
        client_of(nodes, steps=8).paint([request()])
    assert "--ray --painters" in str(told.value)


def test_painters_added_later_are_found_and_removed_ones_drained(nodes):
    with painting(nodes, 1) as first:
        client = client_of(nodes)
        asked = [request("sleep 0.15", seed=i) for i in range(48)]
        results = []
        training = threading.Thread(target=lambda: results.extend(client.paint(asked)))
        training.start()
        more = painters.start(ray_spec(nodes), 1, resource=RESOURCE)
        try:
            assert wait_until(lambda: sum(row["usable"] for row in rows(client)) == 2, 10)
            painters.end(first)
            training.join()
            assert all(map(is_right, results, asked))
            assert len(results) == len(asked)
            assert next(iter(painters.look(more).values()))["requests"] > 0
            assert wait_until(lambda: [row["painter"] for row in rows(client)] == [more[0].name], 10)
        finally:
            painters.end(more, drain_s=0.0)


def test_a_cramped_painter_halves_its_own_batches_and_paints_the_same_pixels_as_one_machine(nodes):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as Ray does for an actor, and rounding depends on it
    try:
        local = connect(ModelSpec(PRESETS["tiny"].id, device="cpu", serving="local", steps=1, max_batch_size=1))
        asked = [request("a cone", seed=i, side=local.size) for i in range(8)]
        expected = local.paint(asked)
        with painting(nodes, 1, "cramped", steps=1):
            found = client_of(nodes, "cramped", steps=1).paint(asked)
    finally:
        torch.set_num_threads(threads)
        local.close()
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(mine.image, theirs.image)
