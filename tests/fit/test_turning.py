"""Turned crops: the hole stays on its object, everything is filled, and some are left as they are."""

from __future__ import annotations

import numpy as np

from inpaint_transform.fit.turning import TURNED, turned

SIZE = 64


def crop() -> np.ndarray:
    found = np.full((SIZE, SIZE, 4), 40, np.uint8)
    found[..., 3] = 0
    found[20:44, 26:40] = (220, 200, 30, 1)
    return found


def test_the_hole_stays_on_its_object_and_no_edge_is_empty() -> None:
    angles = set()
    for seed in range(40):
        found = turned(crop(), np.random.default_rng(seed))
        assert found.shape == (SIZE, SIZE, 4)
        assert found.dtype == np.uint8
        yellow = found[..., 0] > 130
        assert (yellow == (found[..., 3] > 0)).mean() > 0.97
        assert found[..., :3].max(axis=2).min() >= 30
        rows, columns = np.nonzero(found[..., 3])
        angles.add((np.ptp(rows), np.ptp(columns)))
    assert len(angles) > 10


def test_some_are_left_as_they_are() -> None:
    same = [np.array_equal(turned(crop(), np.random.default_rng(seed)), crop()) for seed in range(200)]
    assert abs(np.mean(same) - (1 - TURNED)) < 0.12


def test_the_same_seed_turns_in_the_same_way() -> None:
    assert np.array_equal(turned(crop(), np.random.default_rng(4)), turned(crop(), np.random.default_rng(4)))
