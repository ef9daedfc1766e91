"""Crops: where the window lies, that nothing is stretched or misplaced, and which pixels the masks cover."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.crops import align_mask, context_window, crop, crop_mask, scaled_box, uncrop, working_size

contexts = st.floats(1.0, 6.0)


@st.composite
def images_and_boxes(draw: st.DrawFn, least: int = 1, most: int = 400) -> tuple[int, int, Box]:
    """An image's height and width and a box that is not empty inside it."""
    height, width = draw(st.integers(least, most)), draw(st.integers(least, most))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return height, width, (x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height)))


@settings(max_examples=400, deadline=None)
@given(images_and_boxes(), contexts)
def test_window_contains_the_box_and_lies_in_the_image(case: tuple[int, int, Box], context: float) -> None:
    height, width, box = case
    x0, y0, x1, y1 = context_window(box, height, width, context)
    assert 0 <= x0 <= box[0] < box[2] <= x1 <= width
    assert 0 <= y0 <= box[1] < box[3] <= y1 <= height


@settings(max_examples=400, deadline=None)
@given(images_and_boxes(), contexts)
def test_window_is_square_with_its_full_side_wherever_the_image_allows(
    case: tuple[int, int, Box], context: float
) -> None:
    height, width, box = case
    window_sides = sides(context_window(box, height, width, context))
    longer = max(sides(box))
    wanted = max(longer, round(context * longer))
    if longer <= min(height, width):
        # Also at the border: the window moves inwards and shrinks only to the image's own shorter side.
        assert window_sides == (min(wanted, height, width),) * 2
    else:
        assert window_sides == (min(wanted, width), min(wanted, height))


@settings(max_examples=400, deadline=None)
@given(images_and_boxes(), contexts)
def test_window_is_centred_on_the_box_unless_the_border_pushes_it(case: tuple[int, int, Box], context: float) -> None:
    height, width, box = case
    window = context_window(box, height, width, context)
    for axis, length in ((0, width), (1, height)):
        off_centre = (window[axis] + window[axis + 2]) / 2 - (box[axis] + box[axis + 2]) / 2
        if off_centre > 0.5:
            assert window[axis] == 0
        if off_centre < -0.5:
            assert window[axis + 2] == length


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((0, 0, 50, 40), (0, 0, 100, 100)),
        ((590, 440, 640, 480), (540, 380, 640, 480)),
        ((300, 200, 350, 240), (275, 170, 375, 270)),
    ],
)
def test_a_box_at_the_border_keeps_its_context_on_the_other_side(box: Box, window: Box) -> None:
    assert context_window(box, 480, 640, 2.0) == window


def test_context_of_one_is_the_box_itself_when_square() -> None:
    assert context_window((13, 7, 50, 44), 100, 100, 1.0) == (13, 7, 50, 44)


@settings(max_examples=200, deadline=None)
@given(images_and_boxes(least=32), contexts, st.sampled_from([32, 64, 100]))
def test_one_scale_for_both_axes(case: tuple[int, int, Box], context: float, size: int) -> None:
    height, width, box = case
    window = context_window(box, height, width, context)
    window_width, window_height = sides(window)
    scaled_width, scaled_height = working_size(window, size)
    # Exact: a half that floats miss by a hair rounds the other way.
    scale = Fraction(size, max(window_width, window_height))
    assert max(scaled_width, scaled_height) == size
    # Whole pixels are all that separates the two axes.
    assert scaled_width == max(1, round(scale * window_width))
    assert scaled_height == max(1, round(scale * window_height))


@settings(max_examples=60, deadline=None)
@given(images_and_boxes(least=32), contexts, st.sampled_from([32, 64, 96]))
def test_shapes_there_and_back(case: tuple[int, int, Box], context: float, size: int) -> None:
    height, width, box = case
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    window = context_window(box, height, width, context)
    cut = crop(image, window, size)
    assert cut.shape == (size, size, 3)
    assert cut.dtype == np.uint8
    back = uncrop(cut, window)
    assert back.shape == (window[3] - window[1], window[2] - window[0], 3)
    assert back.dtype == np.uint8
    cut[:], back[:] = 0, 0
    assert np.array_equal(image, before), "a crop must never be a view of the image"


def test_a_window_of_the_working_size_comes_back_bit_equal() -> None:
    image = np.random.default_rng(1).integers(0, 256, (120, 90, 3), np.uint8)
    window = (20, 30, 84, 94)
    cut = crop(image, window, 64)
    assert np.array_equal(cut, image[30:94, 20:84])
    back = uncrop(cut, window)
    assert np.array_equal(back, cut)
    # Without resizing, too, neither way gives a view.
    back[:] = 0
    assert np.array_equal(cut, image[30:94, 20:84])
    cut[:] = 0
    assert image[30:94, 20:84].any()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(32, 300),
    st.integers(32, 300),
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
    st.sampled_from([32, 64]),
    st.data(),
)
def test_a_plain_image_stays_plain_through_both_ways(
    height: int, width: int, colour: tuple[int, int, int], size: int, data: st.DataObject
) -> None:
    image = np.full((height, width, 3), colour, np.uint8)
    x0, y0 = data.draw(st.integers(0, width - 32)), data.draw(st.integers(0, height - 32))
    window = (x0, y0, data.draw(st.integers(x0 + 32, width)), data.draw(st.integers(y0 + 32, height)))
    cut = crop(image, window, size)
    assert (cut == colour).all(), "also the part beside a narrow window repeats the picture"
    assert (uncrop(cut, window) == colour).all()


def test_beside_a_narrow_window_the_last_column_repeats() -> None:
    image = np.random.default_rng(2).integers(0, 256, (200, 50, 3), np.uint8)
    cut = crop(image, (0, 0, 50, 200), 64)
    assert working_size((0, 0, 50, 200), 64) == (16, 64)
    assert (cut[:, 16:] == cut[:, 15:16]).all()
    assert len(np.unique(cut[:, :16], axis=1)[0]) > 1


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_marker_painted_in_the_box_is_found_where_the_mask_says(data: st.DataObject) -> None:
    """Placement, x and y apart, on images that are not square; the oracle is plain proportion."""
    height, width = data.draw(st.integers(60, 300)), data.draw(st.integers(60, 300))
    assume(height != width)
    box_width, box_height = data.draw(st.integers(12, width)), data.draw(st.integers(12, height))
    x0, y0 = data.draw(st.integers(0, width - box_width)), data.draw(st.integers(0, height - box_height))
    box = (x0, y0, x0 + box_width, y0 + box_height)
    size = data.draw(st.sampled_from([64, 128]))
    image = np.zeros((height, width, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    window = context_window(box, height, width, data.draw(st.floats(1.0, 4.0)))

    cut = crop(image, window, size)
    scaled_width, scaled_height = working_size(window, size)
    scale = size / max(sides(window))
    bright = cut[:scaled_height, :scaled_width, 0] > 127
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    expected = [(box[i] - window[i % 2]) * scale for i in range(4)]
    assert np.abs(np.subtract(found, expected)).max() <= 1.01

    window_mask = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    window_mask[box[1] - window[1] : box[3] - window[1], box[0] - window[0] : box[2] - window[0]] = True
    mask = crop_mask(window_mask, size)
    # The old object is covered, and the mask is no wider than whole pixels make it.
    assert mask[:scaled_height, :scaled_width][bright].all()
    assert not mask[scaled_height:].any()
    assert not mask[:, scaled_width:].any()
    mask_rows, mask_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    covered = (mask_columns[0], mask_rows[0], mask_columns[-1] + 1, mask_rows[-1] + 1)
    assert np.abs(np.subtract(covered, expected)).max() <= 1.51

    painted = np.where(mask[:, :, None], 255, np.zeros((size, size, 3), int)).astype(np.uint8)
    back = uncrop(painted, window)[:, :, 0] > 127
    rows, columns = np.flatnonzero(back.any(axis=1)), np.flatnonzero(back.any(axis=0))
    returned = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    inside = [box[i] - window[i % 2] for i in range(4)]
    assert np.abs(np.subtract(returned, inside)).max() <= 1.51 / scale + 1


def overlap_oracle(mask: np.ndarray, size: int) -> np.ndarray:
    """Each working pixel against each window pixel it overlaps, one by one."""
    height, width = mask.shape
    scaled_width, scaled_height = working_size((0, 0, width, height), size)
    out = np.zeros((size, size), bool)
    for row in range(scaled_height):
        top, bottom = floor(row * height / scaled_height + 1e-9), ceil((row + 1) * height / scaled_height - 1e-9)
        for column in range(scaled_width):
            left, right = floor(column * width / scaled_width + 1e-9), ceil((column + 1) * width / scaled_width - 1e-9)
            out[row, column] = any(mask[y, x] for y in range(top, bottom) for x in range(left, right))
    return out


@st.composite
def masks(draw: st.DrawFn, height: st.SearchStrategy[int], width: st.SearchStrategy[int]) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((draw(height), draw(width))) < draw(st.sampled_from([0.0, 0.01, 0.1, 0.6, 1.0]))


@settings(max_examples=80, deadline=None)
@given(masks(st.integers(1, 50), st.integers(1, 50)), st.sampled_from([8, 13, 24, 32]))
def test_crop_mask_sets_every_touched_pixel_and_no_other(mask: np.ndarray, size: int) -> None:
    found = crop_mask(mask, size)
    assert found.dtype == bool
    assert np.array_equal(found, overlap_oracle(mask, size))


@given(masks(st.integers(1, 300), st.integers(1, 300)), st.sampled_from([16, 64, 100]))
@settings(deadline=None)
def test_crop_mask_loses_no_pixel(mask: np.ndarray, size: int) -> None:
    """Seen from the window: wherever a masked pixel's centre lands, the working mask is set."""
    height, width = mask.shape
    scaled_width, scaled_height = working_size((0, 0, width, height), size)
    rows, columns = np.nonzero(mask)
    landed = crop_mask(mask, size)[
        np.floor((rows + 0.5) * scaled_height / height).astype(int),
        np.floor((columns + 0.5) * scaled_width / width).astype(int),
    ]
    assert landed.all()
    if not mask.any():
        assert not crop_mask(mask, size).any()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 5), st.data())
def test_align_mask_is_the_least_set_of_whole_cells(cell: int, cells: int, data: st.DataObject) -> None:
    size = cell * cells
    mask = data.draw(masks(st.just(size), st.just(size)))
    found = align_mask(mask, cell)
    assert found.dtype == bool
    assert found.shape == mask.shape
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        top, left = row // cell * cell, column // cell * cell
        for y in range(top, top + cell):
            for x in range(left, left + cell):
                expected[y, x] = True
    assert np.array_equal(found, expected)
    assert found[mask].all()
    assert np.array_equal(align_mask(found, cell), found)


@given(
    st.tuples(st.integers(1, 700), st.integers(1, 700)),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    st.integers(8, 600),
)
def test_a_scaled_box_lies_in_the_crop_and_about_where_the_box_lies(extent, corners, size):
    width, height = extent
    xs, ys = (
        sorted((int(corners[0] * width), int(corners[1] * width))),
        sorted((int(corners[2] * height), int(corners[3] * height))),
    )
    box = (min(xs[0], width - 1), min(ys[0], height - 1), max(xs[1], xs[0] + 1), max(ys[1], ys[0] + 1))
    box = (box[0], box[1], min(box[2], width), min(box[3], height))
    x0, y0, x1, y1 = scaled_box(box, (0, 0, width, height), size)
    length, depth = working_size((0, 0, width, height), size)
    assert 0 <= x0 < x1 <= length
    assert 0 <= y0 < y1 <= depth
    for got, corner, side, scaled in ((x0, box[0], width, length), (x1, box[2], width, length)):
        assert abs(got - corner * scaled / side) <= 1


def contrast(waves: float, shrinking: float) -> float:
    """What a working crop of 256 pixels keeps of stripes, of so many waves a working pixel."""
    side = round(256 * shrinking)
    columns = np.arange(side) / shrinking
    row = np.rint(127 + 100 * np.sin(2 * np.pi * waves * columns)).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(row[None, :, None], (side, side, 3)))
    return float(crop(image, (0, 0, side, side), 256)[:, 16:-16].std()) / (100 * np.sqrt(0.5))


@pytest.mark.parametrize("shrinking", [1.02, 1.2, 1.39, 1.4, 2.0, 3.7])
def test_a_shrunk_picture_keeps_its_stripes(shrinking: float) -> None:
    assert 0.9 < contrast(1 / 6, shrinking) < 1.05


@pytest.mark.parametrize("shrinking", [2.0, 2.6, 3.7])
def test_stripes_too_fine_for_the_working_crop_do_not_come_back_as_others(shrinking: float) -> None:
    assert contrast(0.97, shrinking) < 0.2
