"""Masks as numbers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_transform.core import masks as runs


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=20)))
def test_a_mask_survives_as_json(mask):
    lengths = json.loads(json.dumps(runs.encode(mask)))
    assert np.array_equal(runs.decode(lengths, *mask.shape), mask)
    assert all(length > 0 for length in lengths[1:])


def test_columns_come_first_and_zeros_begin():
    assert runs.encode(np.array([[1, 0, 0], [1, 1, 0]], bool)) == (0, 2, 1, 1, 2)


@given(st.lists(st.integers(-3, 9), max_size=6))
def test_lengths_of_another_mask_are_refused(lengths):
    if sum(lengths) == 12 and min(lengths) >= 0:
        assert runs.decode(lengths, 3, 4).shape == (3, 4)
    else:
        with pytest.raises(ValueError, match="no mask of 3 x 4"):
            runs.decode(lengths, 3, 4)
