"""The detector: it finds boxes where they are, in the pixels of the picture, whatever the picture's shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from inpaint_transform.core.boxes import iou
from inpaint_transform.fit import finder
from inpaint_transform.fit.pictures import Sample, read_picture


def test_boxes_move_with_their_pictures() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x0, y0 = rng.integers(60, 120, 2)
        image = np.zeros((256, 256, 3), np.uint8)
        cv2.rectangle(image, (int(x0), int(y0)), (int(x0) + 59, int(y0) + 39), (255, 255, 255), -1)
        moved, [box] = finder._augmented(image, np.array([[x0, y0, x0 + 60, y0 + 40]]), rng)
        rows, columns = np.nonzero(moved[..., 0] > 175)
        # What of it is still in the picture.
        box = np.clip(box, 0, 256)
        assert iou(box, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)) > 0.85


def test_pictures_are_shrunk_into_a_square() -> None:
    square, scale = finder.shrunk(np.full((100, 400, 3), 9, np.uint8))
    assert square.shape == (256, 256, 3)
    assert scale == 256 / 400
    assert (square[:64] == 9).all()
    assert (square[64:] == 128).all()


@pytest.mark.slow
def test_it_learns_to_find(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "STEPS", 150)
    detector = finder.train_detector(samples[:10], ["disc", "square"], 0)
    found = [
        finder.finds(detector, read_picture(sample.image), box, number)
        for sample in samples[10:]
        for number, box in enumerate(sample.boxes)
    ]
    assert sum(found) >= 3


@pytest.mark.parametrize("labels", [["disc", "square"], ["square"]])
def test_training_runs_without_the_boxes_of_other_classes(
    samples: list[Sample], labels: list[str], hasty: None
) -> None:
    detector = finder.train_detector(samples[:2], labels, 0)
    assert all(torch.isfinite(value).all() for value in detector.state_dict().values())
