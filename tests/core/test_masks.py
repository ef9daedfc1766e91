"""Masks: outlines, what neighbours leave of one, and RLE."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.masks import (
    bounds,
    clear,
    decode_rle,
    encode_rle,
    free_share,
    grown,
    is_box,
    outline_mask,
    shape_mask,
)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=20)))
def test_a_mask_survives_as_json(mask):
    lengths = json.loads(json.dumps(encode_rle(mask)))
    assert np.array_equal(decode_rle(lengths, *mask.shape), mask)
    assert all(length > 0 for length in lengths[1:])


def test_columns_come_first_and_zeros_begin():
    assert encode_rle(np.array([[1, 0, 0], [1, 1, 0]], bool)) == (0, 2, 1, 1, 2)


@given(st.lists(st.integers(-3, 9), max_size=6))
def test_lengths_of_another_mask_are_refused(lengths):
    if sum(lengths) == 12 and min(lengths) >= 0:
        assert decode_rle(lengths, 3, 4).shape == (3, 4)
    else:
        with pytest.raises(ValueError, match="no mask of 3 x 4"):
            decode_rle(lengths, 3, 4)


any_mask = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))


@given(any_mask)
def test_bounds_hold_the_mask_and_touch_it(mask):
    x0, y0, x1, y1 = bounds(mask)
    rows, columns = np.nonzero(mask)
    if rows.size:
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    else:
        assert (x0, y0, x1, y1) == (0, 0, 0, 0)
    assert is_box(mask) == (mask.sum() == (x1 - x0) * (y1 - y0))


@given(any_mask, st.integers(1, 6))
def test_a_mask_grows_to_all_that_is_near(mask, reach):
    near = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        near[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
    assert np.array_equal(grown(mask, reach), near)


boxes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30)).map(
        lambda drawn: (drawn[0], drawn[1], drawn[0] + drawn[2], drawn[1] + drawn[3])
    ),
    min_size=1,
    max_size=8,
)


def area_mask(box):
    mask = np.zeros((60, 60), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@given(boxes)
def test_what_is_cleared_is_what_is_not_free(found):
    box, others = found[0], found[1:]
    mask = np.ones((box[3] - box[1], box[2] - box[0]), bool)
    clear(mask, box, others)
    covered = np.zeros((60, 60), bool)
    for other in others:
        covered |= area_mask(other)
    assert np.array_equal(mask, ~covered[box[1] : box[3], box[0] : box[2]])
    assert free_share(box, others) == pytest.approx(mask.mean())


def test_nothing_of_an_empty_box_is_free():
    assert free_share((5, 5, 5, 9), [(0, 0, 20, 20)]) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-20, 60), st.floats(-20, 60)), min_size=3, max_size=6),
    st.sampled_from([(0, 0, 40, 30), (10, 5, 45, 50)]),
)
def test_an_outline_covers_the_pixels_whose_centres_opencv_finds_inside(outline, window: Box) -> None:
    mask = outline_mask(tuple(outline), window, "box")
    assert mask.shape == (window[3] - window[1], window[2] - window[0])
    polygon = np.float32(outline)[:, None]
    for y, x in np.ndindex(mask.shape):
        point = (x + window[0] + 0.5, y + window[1] + 0.5)
        # OpenCV works in float32 and counts a point on the edge as inside.
        if abs(distance := cv2.pointPolygonTest(polygon, point, measureDist=True)) > 1e-3:
            assert mask[y, x] == (distance > 0)


def test_the_ellipse_of_a_crooked_outline_stays_in_it() -> None:
    outline, window = ((10.0, 10.0), (60.0, 10.0), (30.0, 50.0), (20.0, 50.0)), (0, 0, 70, 60)
    ellipse, polygon = (outline_mask(outline, window, shape) for shape in ("ellipse", "box"))
    assert ellipse.any()
    assert not (ellipse & ~polygon).any()


@given(st.integers(0, 3), st.sampled_from(["box", "ellipse"]))
def test_an_upright_outline_is_the_box(turn: int, shape: str) -> None:
    box, window = (12, 20, 52, 50), (5, 0, 60, 55)
    corners = [(12.0, 20.0), (52.0, 20.0), (52.0, 50.0), (12.0, 50.0)]
    found = outline_mask(tuple(corners[turn:] + corners[:turn]), window, shape)
    # The ellipse is a polygon too, a hair smaller.
    assert (found ^ shape_mask(box, window, shape)).sum() <= (0 if shape == "box" else 8)
