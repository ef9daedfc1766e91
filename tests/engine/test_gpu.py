"""What only a CUDA device can show; skipped without one. ``record_property`` puts the figures into the JUnit report."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import albumentations as A
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, ModelSpec
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.engine import Engine
from inpaint_transform.engine.devices import choose_device
from inpaint_transform.serving.registry import shutdown

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

IMAGES = 64


class Boxes(Dataset):
    """Noise pictures with one box each."""

    def __init__(self, transform: A.Compose) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> np.ndarray:
        image = np.random.default_rng(index).integers(0, 255, (256, 256, 3), np.uint8)
        return self.transform(image=image, bboxes=[[64, 64, 100, 100]], labels=["cone"])["image"]


def requests(engine: Engine, count: int) -> list[InpaintRequest]:
    rng = np.random.default_rng(0)
    shape = (engine.size, engine.size)
    mask = np.zeros(shape, bool)
    mask[shape[0] // 4 : -shape[0] // 4, shape[1] // 4 : -shape[1] // 4] = True
    return [
        InpaintRequest(rng.integers(0, 255, (*shape, 3), np.uint8), mask, "a cone", seed=seed) for seed in range(count)
    ]


def images_per_second(paint: Callable[[], object], count: int) -> float:
    paint()
    start = time.perf_counter()
    paint()
    return count / (time.perf_counter() - start)


@pytest.fixture
def all_memory() -> Iterator[None]:
    """The device's memory as it was before, for what limits it."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    torch.cuda.empty_cache()


@pytest.mark.slow
def test_eight_workers_take_the_device_memory_of_one(record_property: Callable[[str, object], None]) -> None:
    spec = ModelSpec("tiny", max_batch_size=8, reproducible=True)
    memory = {}
    for workers in (1, 8):
        shutdown()
        transform = BBoxInpaint(spec, p=1.0)
        compose = A.Compose([transform], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
        loader = DataLoader(Boxes(compose), batch_size=4, num_workers=workers, persistent_workers=True)
        speed = images_per_second(lambda loader=loader: list(loader), IMAGES)
        stats = transform.inpainter.stats()
        assert stats["requests"] == 2 * IMAGES
        memory[workers] = stats["device_bytes"]
        record_property(f"images_per_second_{workers}_workers", speed)
        record_property(f"device_bytes_{workers}_workers", stats["device_bytes"])
        record_property(f"mean_batch_{workers}_workers", stats["mean_batch"])
    shutdown()
    engine = Engine(spec)
    record_property("images_per_second_bare", images_per_second(lambda: engine.paint(requests(engine, 8)), 8))
    engine.close()
    assert memory[8] == memory[1] > 0


@pytest.mark.parametrize("reproducible", [True, False])
def test_a_result_does_not_depend_on_its_neighbours(
    reproducible: bool, record_property: Callable[[str, object], None]
) -> None:
    engine = Engine(ModelSpec("tiny", max_batch_size=8, reproducible=reproducible))
    eight = requests(engine, 8)
    together = pixels(engine.paint(eight))
    reversed_order = pixels(engine.paint(eight[::-1]))[::-1]
    alone = pixels([result for request in eight for result in engine.paint([request])])
    engine.close()
    largest = max(int(np.abs(together - other).max()) for other in (reversed_order, alone))
    record_property("largest_difference", largest)
    if reproducible:
        assert largest == 0
    else:
        # Of rounding only: a neighbour's noise or prompt in the wrong place repaints whole regions.
        assert np.abs(together - alone).mean() < 2


def pixels(results: list[InpaintResult]) -> np.ndarray:
    """``(B, H, W, 3)`` int; every result has an image."""
    assert [result.rejected for result in results] == [None] * len(results)
    return np.stack([result.image for result in results]).astype(int)


def test_the_device_follows_the_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    count = torch.cuda.device_count()
    for rank in range(count + 1):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device("auto") == torch.device("cuda", rank % count)
    with pytest.raises(ValueError, match=f"there are {count} CUDA devices here"):
        choose_device(f"cuda:{count}")


@pytest.mark.usefixtures("all_memory")
def test_a_batch_that_does_not_fit_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(ModelSpec("tiny", max_batch_size=1024))
    engine.paint(requests(engine, 1))
    gc.collect()
    torch.cuda.empty_cache()
    # The decoder's last layers alone take more than this for 1024 crops.
    allowed = torch.cuda.memory_reserved() + 256 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
    many = requests(engine, 1024)
    results = engine.paint(many)
    engine.close()
    assert len(pixels(results)) == 1024
    assert "ran out of memory" in caplog.text


@pytest.mark.usefixtures("all_memory")
def test_a_model_that_does_not_fit_into_its_share_of_the_memory_is_a_named_error() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    with pytest.raises(InpaintError, match="memory_fraction"):
        Engine(ModelSpec("tiny", memory_fraction=1e-5))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_worker_told_to_run_locally_names_the_mends() -> None:
    torch.zeros(1, device="cuda")
    transform = BBoxInpaint(ModelSpec("tiny", serving="local"), p=1.0)
    compose = A.Compose([transform], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
    with pytest.raises(InpaintError, match="serving='shared'"):
        next(iter(DataLoader(Boxes(compose), num_workers=1, multiprocessing_context="fork")))
