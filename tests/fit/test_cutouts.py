"""Objects are cut out where they are, and leave their floor behind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.fit.cutouts import cut_out

FLOOR, OBJECT = (90, 120, 100), (230, 140, 20)


def scene(x: int, y: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """An orange ellipse on a grained floor, as large as its box."""
    grain = np.random.default_rng(seed).normal(0, 6, (160, 200, 1))
    found = np.full((160, 200, 3), FLOOR, np.uint8)
    cv2.ellipse(found, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, OBJECT, cv2.FILLED)
    return np.clip(found + grain, 0, 255).astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.integers(0, 80), st.integers(24, 90), st.integers(24, 70))
def test_the_object_comes_without_its_floor(x: int, y: int, width: int, height: int) -> None:
    box = (x, y, x + width, y + height)
    found = cut_out(scene(x, y, width, height), box)
    assert found is not None
    assert found.image.shape == (height, width, 3)
    assert found.alpha.shape == (height, width)
    assert found.alpha.dtype == np.float32
    red = found.image[..., 0].astype(int) - found.image[..., 1] > 30
    assert found.alpha[~red].mean() < 0.05
    assert found.alpha[red].mean() > 0.75


def test_an_outline_is_taken_as_it_is() -> None:
    picture = scene(50, 40, 60, 60)
    found = cut_out(picture, (50, 40, 110, 100), ((50, 40), (80, 40), (80, 100), (50, 100)))
    assert found is not None
    assert (found.alpha[5:-5, 5:25] == 1).all()
    assert (found.alpha[:, 32:] == 0).all()


def test_the_same_box_is_cut_the_same_way_each_time() -> None:
    picture = scene(40, 40, 50, 40)
    one = cut_out(picture, (40, 40, 90, 80))
    cv2.setRNGSeed(7)
    other = cut_out(picture, (40, 40, 90, 80))
    assert one is not None
    assert other is not None
    assert np.array_equal(one.alpha, other.alpha)


@pytest.mark.parametrize("box", [(0, 0, 200, 160), (0, 0, 20, 20), (0, 0, 1, 1)], ids=["all", "floor", "pixel"])
def test_what_cannot_be_told_from_its_floor_is_not_cut_out(box: tuple[int, int, int, int]) -> None:
    plain = np.full((160, 200, 3), FLOOR, np.uint8)
    assert cut_out(plain, box) is None


def test_too_little_and_too_much_is_no_object() -> None:
    picture = scene(50, 40, 60, 60)
    sliver = ((50, 40), (56, 40), (56, 100), (50, 100))
    whole = ((50, 40), (110, 40), (110, 100), (50, 100))
    assert cut_out(picture, (50, 40, 110, 100), sliver) is None
    assert cut_out(picture, (50, 40, 110, 100), whole) is None


def test_pasting_changes_the_object_alone() -> None:
    found = cut_out(scene(50, 40, 60, 60), (50, 40, 110, 100))
    assert found is not None
    floor = np.full((100, 100, 3), (10, 20, 200), np.uint8)
    found.paste(floor, (30, 20, 90, 80))
    outside = np.ones((100, 100), bool)
    outside[20:80, 30:90] = False
    assert (floor[outside] == (10, 20, 200)).all()
    inside = floor[20:80, 30:90]
    assert (inside[found.alpha == 0] == (10, 20, 200)).all()
    assert np.array_equal(inside[found.alpha == 1], found.image[found.alpha == 1])
