"""Annotations of what is no longer there."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core import stale

BOX = (4, 6, 14, 16)


def disc(side=10):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return x**2 + y**2 <= (side / 2) ** 2


def test_only_what_was_painted_is_cleared():
    mask = np.random.default_rng(0).integers(1, 5, (30, 40), np.uint8)
    before = mask.copy()
    painted = np.zeros((30, 40), bool)
    painted[6:16, 4:14] = disc()
    for given_mask in (mask, np.dstack([mask, mask])):
        result = stale.cleared(given_mask, [(BOX, disc())])
        assert (result[painted] == 0).all()
        assert np.array_equal(result[~painted], given_mask[~painted])
    assert np.array_equal(mask, before)


def test_a_mask_that_does_not_change_is_the_same_array():
    mask = np.zeros((30, 40), np.uint8)
    mask[20:, 20:] = 1
    assert stale.cleared(mask, [(BOX, disc())]) is mask


@given(st.lists(st.tuples(st.floats(0, 39.9), st.floats(0, 29.9)), max_size=20))
def test_points_go_with_the_pixel_they_lie_on(points):
    rows = np.array(points, float).reshape(-1, 2)
    kept = stale.still_true(rows, [(BOX, disc())])
    painted = np.zeros((30, 40), bool)
    painted[6:16, 4:14] = disc()
    assert [bool(one) for one in kept] == [not painted[int(y), int(x)] for x, y in points]
    inside = any(4 <= x < 14 and 6 <= y < 16 for x, y in points)
    assert stale.occupied(BOX, [], rows) == inside


def test_a_mask_occupies_the_boxes_it_touches():
    mask = np.zeros((30, 40), np.uint8)
    mask[15, 13] = 1
    assert stale.occupied(BOX, [np.zeros_like(mask), mask], None)
    assert not stale.occupied((4, 6, 13, 16), [mask], np.zeros((0, 5)))
