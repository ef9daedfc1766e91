"""The outlines that a ControlNet is told to keep."""

from __future__ import annotations

import numpy as np

from inpaint_transform.engine.edges import canny_maps

SIZE = 32


def picture(edge: int) -> np.ndarray:
    """A picture with one vertical edge."""
    image = np.full((SIZE, SIZE, 3), 30, np.uint8)
    image[:, edge:] = 220
    return image


def test_a_canny_map_is_white_on_the_edge_only() -> None:
    maps = canny_maps([picture(12), picture(20)])
    assert maps.shape == (2, 3, SIZE, SIZE)
    assert set(np.unique(maps)) == {0, 1}
    for one, edge in zip(maps, (12, 20), strict=True):
        columns = np.flatnonzero(one[0].all(axis=0))
        assert len(columns) == 1
        assert abs(columns[0] - edge) <= 1
        assert one[0].sum() == SIZE
