"""Which neighbours' pixels an edit leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.protection import BEHIND, clear, free_share, neighbours

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
def test_neighbours_overlap_and_do_not_cover(found):
    for index, box in enumerate(found):
        mine = area_mask(box)
        expected = [
            other
            for other, candidate in enumerate(found)
            if other != index and 0 < (mine & area_mask(candidate)).sum() < BEHIND * mine.sum()
        ]
        assert neighbours(index, found) == expected


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


def test_the_helmet_may_be_painted_but_not_from_the_rider():
    rider, helmet = (0, 0, 100, 200), (30, 0, 60, 30)
    assert neighbours(1, [rider, helmet]) == []
    assert neighbours(0, [rider, helmet]) == [1]


def test_an_empty_box_has_no_neighbours():
    assert neighbours(0, [(5, 5, 5, 9), (0, 0, 20, 20)]) == []
    assert free_share((5, 5, 5, 9), [(0, 0, 20, 20)]) == 0
