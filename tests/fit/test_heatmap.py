"""The heat map: what a detector should say leads back to the boxes, whatever the picture's shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.boxes import iou
from inpaint_transform.fit import heatmap

CLASSES = 2


def spoken(target: np.ndarray) -> torch.Tensor:
    """The answer of a detector that says the target itself: sigmoid and softplus undone."""
    known = torch.from_numpy(target)
    heat = torch.logit(known[:CLASSES].clamp(1e-4, 1 - 1e-4))
    return torch.cat([heat, torch.log(torch.expm1(known[CLASSES:-1].clamp(min=1e-3)))])


@given(
    x=st.floats(0, 180),
    y=st.floats(0, 120),
    width=st.floats(8, 200),
    height=st.floats(8, 150),
    number=st.integers(0, CLASSES - 1),
)
def test_a_target_leads_back_to_its_box(x: float, y: float, width: float, height: float, number: int) -> None:
    box = (x, y, x + width, y + height)
    target = heatmap.make_target(np.array([box]), [number], CLASSES, 192, 256)
    found = heatmap.read(spoken(target), 0.5, 10)
    if x + width / 2 >= 256 or y + height / 2 >= 192:
        assert not found
        return
    place, kind, score = found[0]
    assert kind == number
    assert score > 0.9
    assert iou(place, box) > 0.99


def test_what_is_surest_comes_first_and_what_is_unsure_not_at_all() -> None:
    answer = torch.full((CLASSES + 4, 16, 16), -9.0)
    answer[0, 3, 4], answer[1, 10, 12], answer[1, 10, 2] = 1.0, 3.0, -2.0
    found = heatmap.read(answer, 0.5, 10)
    assert [kind for _, kind, _ in found] == [1, 0]
    assert len(heatmap.read(answer, 0.5, 1)) == 1


def test_a_slope_is_one_object() -> None:
    answer = torch.full((CLASSES + 4, 16, 16), -9.0)
    answer[0, 5, 4:8] = torch.tensor([0.1, 0.5, 1.0, 0.5])
    [(box, kind, _)] = heatmap.read(answer, 0.3, 10)
    assert kind == 0
    assert (box[0] + box[2]) / 2 == pytest.approx(4 * 6.5, abs=0.1)


def test_the_loss_is_least_where_the_answer_is_right() -> None:
    boxes = np.array([(20.0, 20.0, 60.0, 70.0), (100.0, 90.0, 140.0, 130.0)])
    target = heatmap.make_target(boxes, [0, 1], CLASSES, 192, 256)
    right = spoken(target)[None]
    wanted = torch.from_numpy(target)[None]
    swapped = torch.cat([right[:, 1:2], right[:, :1], right[:, 2:]], 1)
    moved = torch.roll(right, 5, dims=3)
    losses = [float(heatmap.loss(answer, wanted, CLASSES)) for answer in (right, moved, swapped)]
    assert losses[0] == min(losses)
    assert losses[0] < 0.1 * min(losses[1:])


def test_a_picture_without_boxes_has_a_loss() -> None:
    target = torch.from_numpy(heatmap.make_target(np.zeros((0, 4)), [], CLASSES, 64, 64))[None]
    assert torch.isfinite(heatmap.loss(torch.zeros(1, CLASSES + 4, 16, 16), target, CLASSES))


@pytest.mark.parametrize(("height", "width"), [(192, 256), (256, 256), (64, 128)])
def test_a_detector_answers_in_cells(height: int, width: int) -> None:
    answer = heatmap.Detector(3)(torch.zeros(2, 3, height, width))
    assert answer.shape == (2, 7, height // 4, width // 4)
