"""Reuse on a cluster: its painters fill a pool behind a training, and ahead of one with the looks of one machine."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from ray_cluster import RESOURCE, joined, needs_ray, painting, ray_spec
from serving import (
    run_script,
    runtime,  # noqa: F401 - a fixture
    wait_until,
)

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.faces.albumentations import BBoxInpaint
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.view import View
from inpaint_transform.serving.ray import painters
from inpaint_transform.serving.registry import load
from inpaint_transform.tools import paint_ahead as ahead

pytestmark = [
    needs_ray,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.filterwarnings("ignore:the inpainting server got batches:RuntimeWarning"),
]

IMAGES = np.random.default_rng(7).integers(0, 256, (20, 80, 96, 3), np.uint8)
SAMPLES = [ahead.Sample(image, [(20, 20, 60, 60), (50, 5, 90, 45)], ["cone", "cube"]) for image in IMAGES]


@pytest.fixture(autouse=True)
def engine_by_id(runtime, monkeypatch):  # noqa: F811 - the fixture
    """Servers and painters agree on who is the engine."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:by_id")


def filled(path: Path) -> BBoxInpaint:
    spec = ModelSpec("crowded", device="cpu", serving="local")
    return ahead.with_pool(BBoxInpaint(spec, prompts="sleep 0.01"), path, 2)


def looks_in(path: Path) -> dict[bytes, tuple]:
    """What is kept in a pool, without when it was painted."""
    keeper = keeper_of(path, 0, True, 1)
    with keeper.store.reading() as transaction:
        contents = Contents(transaction, keeper.store.dbs)
        looks = {key: View(contents).find(slot.look) for key, slot in contents.slots()}
        return {key: (kept.accepted, kept.seed, kept.box, kept.pixels.tobytes()) for key, kept in looks.items()}


def test_painters_paint_ahead_what_one_machine_would(nodes, tmp_path):
    with joined(nodes):
        started = painters.start(ray_spec(nodes, "crowded"), 2, resource=RESOURCE)
        try:
            inpainter = load(ray_spec(nodes, "crowded"), lambda _: None)
            # The first is enough to begin with; on a busy machine it may be done before the second one is found.
            assert wait_until(lambda: sum(row["usable"] for row in inpainter.stats()["painters"]) == 2)
            done = ahead.paint_ahead(filled(tmp_path / "remote"), SAMPLES, inpainter)
            inpainter.close()
            asked = [row["requests"] for row in painters.look(started).values()]
            assert all(asked)
            assert sum(asked) == 80
        finally:
            painters.end(started, drain_s=0.0)
    assert done.accepted == {"cone": 40, "cube": 40}
    ahead.paint_ahead(filled(tmp_path / "local"), SAMPLES)
    assert looks_in(tmp_path / "remote") == looks_in(tmp_path / "local")


def test_what_lost_painters_leave_one_machine_goes_on_with(nodes, tmp_path):
    with joined(nodes):
        started = painters.start(ray_spec(nodes, "crowded"), 1, resource=RESOURCE)
        gone = threading.Event()

        def lose(_: object) -> None:
            if not gone.is_set():
                gone.set()
                painters.end(started, drain_s=0.0)

        inpainter = load(ray_spec(nodes, "crowded"), lambda _: None)
        with pytest.raises(InpaintError, match="no painter"):
            ahead.paint_ahead(filled(tmp_path / "pool"), SAMPLES, inpainter, show=lose)
        inpainter.close()
    assert 0 < len(looks_in(tmp_path / "pool")) < 80
    ahead.paint_ahead(filled(tmp_path / "pool"), SAMPLES)
    ahead.paint_ahead(filled(tmp_path / "local"), SAMPLES)
    assert looks_in(tmp_path / "pool") == looks_in(tmp_path / "local")


def test_painters_fill_a_pool_behind_a_training_whose_workers_never_see_ray(nodes, tmp_path):
    with painting(nodes, 2) as started:
        lines = run_script(
            """
            import albumentations as A
            from torch.utils.data import DataLoader
            from inpaint_transform import BBoxInpaint
            class Pictures:
                def __init__(self, model, path):
                    reuse = {"variants": 1, "echo": 1000, "path": path}
                    self.inpaint = BBoxInpaint(model, prompts="sleep 0.01", p=1.0, reuse=reuse, edits_key="inpainted")
                    boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
                    self.transform = A.Compose([self.inpaint], bbox_params=boxes)
                def __len__(self): return 12
                def __getitem__(self, i):
                    image = np.random.default_rng(i).integers(0, 256, (80, 96, 3), np.uint8)
                    sample = self.transform(image=image, bboxes=[[20, 20, 60, 60]], labels=["cone"])
                    return sample["inpainted"][0]["reuse"], "ray" in sys.modules
            pictures = Pictures(ModelSpec(**json.loads(sys.argv[1])), sys.argv[2])
            loader = DataLoader(pictures, num_workers=2, batch_size=None, persistent_workers=True)
            deadline, kinds = time.monotonic() + 60, []
            while set(kinds) != {"hit"} and time.monotonic() < deadline:
                kinds, saw = zip(*loader)
                say(sorted(set(kinds)), any(saw))
                time.sleep(0.1)
            """.replace("\n            ", "\n"),
            json.dumps(ray_spec(nodes).to_dict()),
            tmp_path / "pool",
        )
        rows = painters.look(started).values()
    said = [json.loads(line) for line in lines]
    assert said[0][0] == ["cold"]  # nobody waits for another machine
    assert said[-1][0] == ["hit"]
    assert not any(saw for _, saw in said)
    assert sum(row["requests"] for row in rows) == 12
    assert len(looks_in(tmp_path / "pool")) == 12
