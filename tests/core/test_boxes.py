"""Boxes: whole pixels come back whole, bad rows are refused, nothing leaves the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.boxes import TIE, from_normalized, from_pixels, intersection, iou, sides

WIDEST, TALLEST = 8000, 6000


@st.composite
def images_and_boxes(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int, int, int]]]:
    """An image's height and width and some integer boxes inside it."""
    height, width = draw(st.integers(1, TALLEST)), draw(st.integers(1, WIDEST))
    boxes = []
    for _ in range(draw(st.integers(1, 5))):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        boxes.append((x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))))
    return height, width, boxes


@settings(deadline=None)
@given(images_and_boxes())
def test_integer_boxes_survive_normalising_in_float32(case: tuple[int, int, list[tuple[int, int, int, int]]]) -> None:
    height, width, boxes = case
    scale = np.array([width, height, width, height], np.float32)
    normalised = np.array(boxes, np.float32) / scale
    assert normalised.dtype == np.float32
    assert from_normalized(normalised, height, width) == boxes
    # Further columns, such as label codes, change nothing, and neither does a detour over float32 pixels.
    with_labels = np.hstack([normalised, np.full((len(boxes), 2), 17, np.float32)])
    assert from_normalized(with_labels, height, width) == boxes
    assert from_pixels(normalised * scale, height, width) == boxes


@pytest.mark.parametrize("length", [33, 640, 800, 1333, TALLEST, WIDEST])
def test_every_coordinate_of_a_side_survives(length: int) -> None:
    ends = np.arange(1, length + 1)
    rows = np.stack([ends - 1, ends - 1, ends, ends], axis=1)
    found = from_normalized(rows.astype(np.float32) / np.float32(length), length, length)
    assert np.array_equal(found, rows)


def test_boxes_are_plain_integers() -> None:
    [box] = from_normalized(np.array([[0.1, 0.2, 0.5, 0.6]], np.float32), 100, 200)
    assert box == (20, 20, 100, 60)
    assert all(type(value) is int for value in box)


@pytest.mark.parametrize("convert", [from_normalized, from_pixels])
@pytest.mark.parametrize("shape", [(0,), (0, 4), (0, 5), (3, 0), (0, 0), (1, 0, 4)])
def test_no_boxes_of_any_shape(convert, shape: tuple[int, ...]) -> None:
    assert convert(np.zeros(shape, np.float32), 480, 640) == []


@pytest.mark.parametrize("convert", [from_normalized, from_pixels])
def test_no_boxes_as_lists(convert) -> None:
    assert convert([], 480, 640) == convert((), 480, 640) == convert([[]], 480, 640) == []


@pytest.mark.parametrize("convert", [from_normalized, from_pixels])
@given(
    column=st.integers(0, 3),
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    row=st.integers(0, 2),
)
def test_coordinates_that_are_not_finite_are_refused(convert, column: int, bad: float, row: int) -> None:
    boxes = np.tile(np.array([0.1, 0.2, 0.6, 0.7]), (3, 1))
    boxes[row, column] = bad
    with pytest.raises(ValueError, match=f"box {row} .*not finite"):
        convert(boxes, 480, 640)


@pytest.mark.parametrize("convert", [from_normalized, from_pixels])
@pytest.mark.parametrize("box", [(0.6, 0.2, 0.1, 0.7), (0.1, 0.7, 0.6, 0.2), (0.6, 0.7, 0.1, 0.2)])
def test_inverted_boxes_are_refused(convert, box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"box 1 is inverted.*expected x0 <= x1 and y0 <= y1"):
        convert([(0.1, 0.1, 0.2, 0.2), box], 480, 640)


def test_a_label_code_that_is_not_finite_is_no_matter() -> None:
    assert from_normalized([[0.0, 0.0, 1.0, 1.0, float("nan")]], 48, 64) == [(0, 0, 64, 48)]


numbers = st.floats(-1e9, 1e9)


@given(numbers, numbers, numbers, numbers, st.integers(1, TALLEST), st.integers(1, WIDEST))
def test_boxes_are_clipped_to_the_image(a: float, b: float, c: float, d: float, height: int, width: int) -> None:
    corners = (min(a, c), min(b, d), max(a, c), max(b, d))
    [(x0, y0, x1, y1)] = from_pixels([corners], height, width)
    assert 0 <= x0 <= x1 <= width
    assert 0 <= y0 <= y1 <= height
    # The nearest pixel of the image, where a hair below a half is a half: one whole number is right and no other.
    for found, wanted, limit in zip((x0, y0, x1, y1), corners, (width, height, width, height), strict=True):
        assert abs(found - min(max(wanted, 0), limit) - TIE) <= 0.5 + 1e-9


@settings(max_examples=300, deadline=None)
@given(st.integers(2, 4000), st.integers(2, 4000), st.data())
def test_halves_of_pixels_are_rounded_as_in_the_file_after_float32(
    width: int, height: int, data: st.DataObject
) -> None:
    x0, y0 = data.draw(st.integers(0, 2 * width - 2)) / 2, data.draw(st.integers(0, 2 * height - 2)) / 2
    x1, y1 = data.draw(st.integers(int(2 * x0), 2 * width)) / 2, data.draw(st.integers(int(2 * y0), 2 * height)) / 2
    normal = np.array([[x0 / width, y0 / height, x1 / width, y1 / height]], np.float32)
    assert from_normalized(normal, height, width) == from_pixels([(x0, y0, x1, y1)], height, width)


def test_a_box_beyond_the_image_comes_out_empty() -> None:
    [box] = from_pixels([(700, 500, 800, 600)], 480, 640)
    assert sides(box) == (0, 0)


small = st.integers(0, 12)
small_boxes = st.tuples(small, small, st.integers(1, 8), st.integers(1, 8)).map(
    lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3])
)


@given(small_boxes, small_boxes)
def test_intersection_is_the_shared_pixels(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> None:
    def pixels(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    shared = intersection(a, b)
    assert (set() if shared is None else pixels(shared)) == pixels(a) & pixels(b)
    assert intersection(b, a) == shared
    width, height = sides(a)
    assert width * height == len(pixels(a))


solid = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(solid, solid)
def test_iou_against_counted_pixels(one, other):
    grid = np.zeros((2, 64, 64), bool)
    for layer, (x0, y0, x1, y1) in zip(grid, (one, other), strict=True):
        layer[y0:y1, x0:x1] = True
    assert iou(one, other) == pytest.approx((grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum())
    assert iou(one, other) == iou(other, one)


def test_iou_of_inverted_and_empty_boxes():
    assert iou((10, 10, 30, 30), (30, 30, 10, 10)) == 0
    assert iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0
