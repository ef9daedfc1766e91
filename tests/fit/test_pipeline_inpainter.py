"""The pipeline in training as an inpainter: what it is asked, in order, and the same again for the same seeds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.fit import architecture
from inpaint_transform.fit.pipeline_inpainter import PipelineInpainter


def usual() -> dict[str, Any]:
    return {"steps": 2, "guidance_scale": 2.0}


@pytest.mark.parametrize(("size", "batches"), [(512, [4, 4, 1]), (1024, [1] * 9), (32, [8, 1])])
def test_large_crops_are_painted_few_at_a_time(size: int, batches: list[int]) -> None:
    """The decoder of SDXL takes a gigabyte a crop for one of its layers."""
    asked = []

    class Pipeline:
        device = torch.device("cpu")

        def __call__(self, prompt: list[str], **_: Any) -> Any:
            asked.append(len(prompt))
            return SimpleNamespace(images=np.zeros((len(prompt), 8, 8, 3)))

    request = InpaintRequest(np.zeros((size, size, 3), np.uint8), np.zeros((size, size), bool), "", seed=0)
    assert len(PipelineInpainter(Pipeline(), size, 8, usual).paint([request] * 9)) == 9
    assert asked == batches


def test_it_paints_in_order() -> None:
    pipeline = architecture.build("minute", ["a disc"], 0)
    painter = PipelineInpainter(pipeline, 32, 2, usual)
    hole = np.zeros((32, 32), bool)
    hole[9:23, 9:23] = True
    requests = [InpaintRequest(np.full((32, 32, 3), 9, np.uint8), hole, "a disc", seed=seed) for seed in range(10)]
    images = [result.image for result in painter.paint(requests)]
    assert all(image is not None and image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in images)
    again = painter.paint(requests[:1])[0].image
    # A batch of another size sums in another order.
    assert np.abs(again.astype(int) - images[0]).mean() < 4
    assert np.abs(images[1].astype(int) - images[0]).mean() > np.abs(again.astype(int) - images[0]).mean()
