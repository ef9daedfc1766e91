"""How well what changed fills its box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_transform.core.measure import CHANGED, coverage, mean_change

SIDE = 40
BOX = (10, 10, 30, 30)


def window(level: int = 90) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def painted(box: tuple[int, int, int, int] = BOX, level: int = 200) -> np.ndarray:
    image = window()
    image[box[1] : box[3], box[0] : box[2]] = level
    return image


boxes = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


# Fill


@given(boxes, st.data())
def test_coverage_of_a_rectangle_is_its_share(box, data):
    x0 = data.draw(st.integers(box[0], box[2] - 1))
    y0 = data.draw(st.integers(box[1], box[3] - 1))
    inner = (x0, y0, data.draw(st.integers(x0 + 1, box[2])), data.draw(st.integers(y0 + 1, box[3])))
    before, after = window(), painted(inner, 90 + CHANGED + 1)
    share = (inner[2] - inner[0]) * (inner[3] - inner[1]) / ((box[2] - box[0]) * (box[3] - box[1]))
    # Of such small boxes a hundredth is less than two pixels: a lone one is a speck only where it is that little.
    assert coverage(before, after, box) == pytest.approx(share if share > 0.01 else 0)


@given(st.integers(0, 255), st.integers(0, 255))
def test_coverage_counts_changes_in_both_directions_above_the_noise(before, after):
    one, other = window(before), window(after)
    assert coverage(one, other, BOX) == float(abs(before - after) > CHANGED)


def test_coverage_ignores_specks_and_what_is_outside():
    after = painted((10, 10, 20, 30))
    after[29, 29] = after[2, 35] = 255
    after[12:14, 25:27] = 255  # 4 of 400 pixels
    assert coverage(window(), after, BOX) == 0.5
    after[12:15, 25:27] = 255
    assert coverage(window(), after, BOX) == pytest.approx(17 * 20 / 400)


def test_coverage_of_an_object_in_pieces_is_that_of_all_its_pieces():
    after = painted((10, 10, 14, 14))
    after[26:30, 26:30] = 0
    assert coverage(window(), after, BOX) == 1


def test_one_channel_is_enough():
    after = window()
    after[10:30, 10:30, 2] += 40
    assert coverage(window(), after, BOX) == 1


@given(st.randoms(use_true_random=False), boxes)
def test_coverage_stays_in_its_range(random, box):
    rng = np.random.default_rng(random.randrange(2**32))
    before, after = rng.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    assert 0 <= coverage(before, after, box) <= 1


# Change


@given(hnp.arrays(bool, (SIDE, SIDE)), st.randoms(use_true_random=False))
def test_the_mean_change_is_that_of_the_masked_pixels(mask, random):
    before, after = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    expected = np.abs(before[mask].astype(int) - after[mask]).mean() if mask.any() else 0.0
    assert mean_change(after, before, mask) == pytest.approx(expected)
