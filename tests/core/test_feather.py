"""Feathering: weights rise with the distance from what is not painted, and only from that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_blend import mask_in_image, placements, shapes, widths

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.feather import feather_alpha
from inpaint_transform.core.masks import shape_mask


@settings(max_examples=150, deadline=None)
@given(placements(), shapes, widths)
def test_weights_lie_in_zero_to_one_and_only_in_the_mask(
    placement: tuple[int, int, Box, Box], shape: str, feather: float
) -> None:
    height, width, window, box = placement
    mask = shape_mask(box, window, shape)
    alpha = feather_alpha(mask, feather, window, height, width)
    assert alpha.dtype == np.float32
    assert alpha.shape == mask.shape
    assert ((alpha >= 0) & (alpha <= 1)).all()
    assert (alpha[~mask] == 0).all()
    assert (alpha[mask] > 0).all(), "every masked pixel is painted, at least a little"


def distance_oracle(height: int, width: int, whole_mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the nearest pixel of the image that is not masked; infinite where there is none."""
    rows, columns = np.nonzero(~whole_mask)
    if rows.size == 0:
        return np.full((height, width), np.inf)
    y, x = np.mgrid[:height, :width]
    return np.hypot(y[..., None] - rows, x[..., None] - columns).min(axis=2)


@settings(max_examples=60, deadline=None)
@given(st.data(), shapes, st.floats(1, 12))
def test_feather_rises_with_the_distance_to_the_unmasked_image(data: st.DataObject, shape: str, feather: float) -> None:
    """The image's own border is no edge; the window's border is one, since past it nothing is painted."""
    height, width = data.draw(st.integers(4, 28)), data.draw(st.integers(4, 28))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (x0, y0, data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height)))
    window = data.draw(st.sampled_from([box, (0, 0, width, height), (0, y0, width, box[3])]))
    mask = shape_mask(box, window, shape)
    whole = mask_in_image(height, width, window, mask)
    distance = distance_oracle(height, width, whole)[window[1] : window[3], window[0] : window[2]]
    expected = np.where(mask, np.clip(distance / (feather + 1), 0, 1), 0)
    alpha = feather_alpha(mask, feather, window, height, width)
    assert np.abs(alpha - expected).max() < 1e-3
    if shape == "box":  # to the bit, for no search is made
        ramp = np.minimum(distance.astype(np.float32) / np.float32(feather + 1), 1)
        assert np.array_equal(alpha, np.where(mask, ramp, np.float32(0)))


@pytest.mark.parametrize("feather", [1, 2, 5])
def test_feather_is_over_after_its_width(feather: int) -> None:
    window = box = (20, 20, 50, 50)
    alpha = feather_alpha(shape_mask(box, window, "box"), feather, window, 100, 100)
    row = alpha[15]
    assert (row[:feather] < 1).all()
    assert (row[feather : 30 - feather] == 1).all()
    assert (np.diff(row[: feather + 1]) > 0).all()
    assert np.array_equal(row, row[::-1])


@pytest.mark.parametrize("feather", [0, 0.0, 0.5])
def test_no_feather_is_a_hard_edge(feather: float) -> None:
    mask = shape_mask((2, 2, 9, 9), (0, 0, 12, 12), "box")
    assert np.array_equal(feather_alpha(mask, feather, (0, 0, 12, 12), 50, 50), mask.astype(np.float32))


@pytest.mark.parametrize(
    ("box", "hard"),
    [
        ((0, 30, 20, 50), "left"),
        ((80, 30, 100, 50), "right"),
        ((40, 0, 60, 20), "top"),
        ((40, 80, 60, 100), "bottom"),
    ],
)
def test_mask_edges_at_the_image_border_do_not_feather(box: Box, hard: str) -> None:
    alpha = feather_alpha(shape_mask(box, box, "box"), 4, box, 100, 100)
    edges = {"left": alpha[10, 0], "right": alpha[10, -1], "top": alpha[0, 10], "bottom": alpha[-1, 10]}
    assert edges.pop(hard) == 1
    assert all(0 < weight < 1 for weight in edges.values())


def test_a_mask_over_the_whole_image_does_not_feather_at_all() -> None:
    window = (0, 0, 40, 32)
    assert (feather_alpha(np.ones((32, 40), bool), 5, window, 32, 40) == 1).all()
