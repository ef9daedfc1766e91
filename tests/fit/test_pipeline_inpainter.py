"""The pipeline in training as an inpainter: what it is asked, in order, and the same again for the same seeds."""

from __future__ import annotations

import numpy as np

from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.fit import architecture
from inpaint_transform.fit.pipeline_inpainter import PipelineInpainter


def test_it_paints_in_order() -> None:
    pipeline = architecture.build("minute", ["a disc"], 0)
    painter = PipelineInpainter(pipeline, 32, 2, 2.0)
    hole = np.zeros((32, 32), bool)
    hole[9:23, 9:23] = True
    requests = [InpaintRequest(np.full((32, 32, 3), 9, np.uint8), hole, "a disc", seed=seed) for seed in range(10)]
    images = [result.image for result in painter.paint(requests)]
    assert all(image is not None and image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in images)
    again = painter.paint(requests[:1])[0].image
    # A batch of another size sums in another order.
    assert np.abs(again.astype(int) - images[0]).mean() < 4
    assert np.abs(images[1].astype(int) - images[0]).mean() > np.abs(again.astype(int) - images[0]).mean()
