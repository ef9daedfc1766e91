"""Beside: the picture stays as it is but for the numbers, and every pair has its place."""

from __future__ import annotations

import numpy as np
import pytest

from inpaint_transform.reports.beside import SIDE, beside


@pytest.mark.parametrize("count", [1, 3, 9])
def test_every_pair_is_shown(count: int) -> None:
    image = np.full((120, 160, 3), 200, np.uint8)
    pairs = [(np.full((10, 20, 3), 10, np.uint8), np.full((90, 60, 3), 30, np.uint8), "a red cell")] * count
    drawn = beside(image, [(20, 20, 60, 60)] * count, pairs)
    assert (drawn[:15, :160] == 200).all()
    dark = (drawn[:, 160:] == 10).all(axis=2).sum(), (drawn[:, 160:] == 30).all(axis=2).sum()
    assert dark[0] > 0.9 * count * SIDE * SIDE // 2
    assert dark[1] > 0.9 * count * SIDE * SIDE * 2 // 3
    assert (drawn[30:50, 30:50] != 200).any()
