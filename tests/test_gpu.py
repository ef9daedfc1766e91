"""What only a CUDA device can show; skipped without one. ``record_property`` puts the figures into the JUnit report."""

from __future__ import annotations

import time
from collections.abc import Callable

import albumentations as A
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, ModelSpec
from inpaint_transform.engine import Engine
from inpaint_transform.inpainter import shutdown
from inpaint_transform.messages import InpaintRequest

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


def requests(count: int) -> list[InpaintRequest]:
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    return [
        InpaintRequest(rng.integers(0, 255, (64, 64, 3), np.uint8), mask, "a cone", seed=seed) for seed in range(count)
    ]


def images_per_second(paint: Callable[[], object], count: int) -> float:
    paint()
    start = time.perf_counter()
    paint()
    return count / (time.perf_counter() - start)


@pytest.mark.slow
def test_eight_workers_take_the_device_memory_of_one(record_property: Callable[[str, object], None]) -> None:
    memory = {}
    for workers in (1, 8):
        shutdown()
        transform = BBoxInpaint(ModelSpec("tiny", max_batch_size=8, reproducible=True), p=1.0)
        compose = A.Compose([transform], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
        loader = DataLoader(Boxes(compose), batch_size=4, num_workers=workers)
        speed = images_per_second(lambda loader=loader: list(loader), IMAGES)
        stats = transform.inpainter.stats()
        memory[workers] = stats["device_bytes"]
        record_property(f"images_per_second_{workers}_workers", speed)
        record_property(f"device_bytes_{workers}_workers", stats["device_bytes"])
        record_property(f"mean_batch_{workers}_workers", stats["mean_batch"])
    shutdown()
    assert memory[8] == memory[1]


def test_a_result_does_not_depend_on_its_neighbours(record_property: Callable[[str, object], None]) -> None:
    engine = Engine(ModelSpec("tiny", max_batch_size=8, reproducible=True))
    eight = requests(8)
    together = engine.paint(eight)
    reversed_order = engine.paint(eight[::-1])[::-1]
    alone = [engine.paint([request])[0] for request in eight]
    record_property("images_per_second_bare", images_per_second(lambda: engine.paint(eight), 8))
    engine.close()
    for first, second, third in zip(together, reversed_order, alone, strict=True):
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.image, third.image)
