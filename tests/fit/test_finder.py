"""The detector: it finds boxes where they are, in the pixels of the picture, whatever the picture's shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from inpaint_transform.core.boxes import iou
from inpaint_transform.fit import finder
from inpaint_transform.fit.pictures import Sample, read_picture


@pytest.mark.parametrize("box", [(20.0, 30.0, 60.0, 90.0), (0.0, 0.0, 256.0, 200.0), (100.0, 180.0, 130.0, 200.0)])
def test_the_target_leads_back_to_the_box(monkeypatch: pytest.MonkeyPatch, box: tuple[float, ...]) -> None:
    target = torch.from_numpy(finder._target(np.array([box]), [1], 2))
    # A detector that gives the target itself; softplus is undone.
    heat = torch.logit(target[:2].clamp(1e-4, 1 - 1e-4))
    sides = torch.log(torch.expm1(target[2:-1].clamp(min=1e-3)))
    image = np.zeros((256, 512, 3), np.uint8)
    found = finder.detect(lambda _: torch.cat([heat, sides])[None], image)  # type: ignore[arg-type]
    place, number, score = found[0]
    assert number == 1
    assert score > 0.9
    assert iou(place, [2 * corner for corner in box]) > 0.9
    assert finder.finds(lambda _: torch.cat([heat, sides])[None], image, tuple(2 * int(c) for c in box), 1)  # type: ignore[arg-type]
    assert not finder.finds(lambda _: torch.cat([heat, sides])[None], image, (300, 0, 320, 30), 1)  # type: ignore[arg-type]


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


def test_training_runs(samples: list[Sample], hasty: None) -> None:
    detector = finder.train_detector(samples[:2], ["disc", "square"], 0)
    assert all(torch.isfinite(value).all() for value in detector.state_dict().values())
