"""Objects are cut out where they are, and leave their floor behind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
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
@given(st.integers(2, 100), st.integers(2, 80), st.integers(24, 90), st.integers(24, 70))
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


@pytest.mark.parametrize("box", [(1, 1, 199, 159), (9, 9, 29, 29), (9, 9, 10, 10)], ids=["all", "floor", "pixel"])
def test_what_cannot_be_told_from_its_floor_is_not_cut_out(box: tuple[int, int, int, int]) -> None:
    plain = np.full((160, 200, 3), FLOOR, np.uint8)
    assert cut_out(plain, box) is None


def wedge(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int, int]]:
    """A triangle with a dark side, on an uneven floor of much the same colours; its pixels; its box."""
    x, y, width, height = (int(rng.integers(*some)) for some in ((12, 90), (12, 70), (30, 90), (30, 70)))
    inside = np.zeros((160, 200), np.uint8)
    top = x + int(rng.integers(2)) * width // 2
    cv2.fillConvexPoly(inside, np.array([(top, y), (x + width, y + height), (x, y + height)]), 1)
    across, down = np.arange(200)[None, :, None], np.arange(160)[:, None, None]
    brown = np.array((130, 115, 95))
    floor = brown * (0.6 + 0.6 * rng.uniform() * across / 200 + 0.3 * down / 160)
    colour = brown + (np.array((230, 150, 20)) - brown) * rng.uniform(0.2, 1)
    shaded = colour * (1 - rng.uniform(0, 0.9) * np.clip((across - x) / width, 0, 1))
    picture = np.where(inside[..., None] > 0, shaded, floor) + rng.normal(0, 6, (160, 200, 1))
    return np.clip(picture, 0, 255).astype(np.uint8), inside > 0, (x, y, x + width, y + height)


def test_what_is_cut_out_is_whole() -> None:
    # A model learns the shape that it is shown: a cone without its dark side is a bent one.
    rng = np.random.default_rng(0)
    alike = []
    for _ in range(80):
        picture, inside, (x0, y0, x1, y1) = wedge(rng)
        if found := cut_out(picture, (x0, y0, x1, y1)):
            shown, there = found.alpha > 0, inside[y0:y1, x0:x1]
            alike.append((shown & there).sum() / (shown | there).sum())
    assert len(alike) > 20
    assert min(alike) > 0.7


def test_a_nucleus_is_no_cell() -> None:
    picture = scene(30, 30, 90, 80)
    assert cut_out(picture, (30, 30, 120, 110)) is not None
    assert cut_out(picture, (5, 10, 145, 130)) is None


def test_too_little_and_too_much_is_no_object() -> None:
    picture = scene(50, 40, 60, 60)
    sliver = ((50, 40), (56, 40), (56, 100), (50, 100))
    whole = ((50, 40), (110, 40), (110, 100), (50, 100))
    assert cut_out(picture, (50, 40, 110, 100), sliver) is None
    assert cut_out(picture, (50, 40, 110, 100), whole) is None


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
@pytest.mark.parametrize("outlined", [False, True])
def test_what_the_edge_of_the_picture_may_cut_off_is_not_cut_out(edge: str, outlined: bool) -> None:
    x, y = {"left": (0, 40), "top": (40, 0), "right": (140, 40), "bottom": (40, 100)}[edge]
    assert cut_out(scene(50, 40, 60, 60), (50, 40, 110, 100)) is not None
    outline = ((x + 5, y + 5), (x + 55, y + 5), (x + 30, y + 55)) if outlined else None
    assert cut_out(scene(x, y, 60, 60), (x, y, x + 60, y + 60), outline) is None


@settings(max_examples=20, deadline=None)
@given(st.floats(-180, 180), st.integers(24, 90), st.integers(24, 70), st.integers(0, 12), st.integers(0, 12))
def test_a_tilted_object_is_whole_and_has_as_much_room_as_before(
    degrees: float, width: int, height: int, right: int, below: int
) -> None:
    corners = ((50, 40), (50 + width, 40), (50, 40 + height))
    picture = np.full((160, 200, 3), FLOOR, np.uint8)
    cv2.fillConvexPoly(picture, np.array(corners), OBJECT)
    straight = cut_out(picture, (50, 40, 50 + width + right, 40 + height + below), corners)
    assume(straight is not None)
    tilted = straight.tilted(degrees)
    assert tilted.size == tilted.image.shape[1::-1] == tilted.alpha.shape[::-1]
    # Half a pixel may fall to either side.
    assert np.abs(np.subtract(room(tilted.alpha), room(straight.alpha))).max() <= 1
    # Nothing is lost, and where it is opaque it shows the object and no floor.
    assert tilted.alpha.sum() == pytest.approx(straight.alpha.sum(), rel=0.05)
    assert (tilted.image[tilted.alpha > 0.99][:, 0] > 200).all()
    assert tilted.outline is not None
    drawn = np.zeros(tilted.alpha.shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(tilted.outline).astype(np.int32)], 1)
    assert (drawn[tilted.alpha > 0.5] == 1).mean() > 0.95


def room(alpha: np.ndarray) -> list[int]:
    """How many rows and columns at each side are transparent."""
    shown = [alpha.max(axis) > 0 for axis in (1, 0)]
    return [int(np.argmax(some[::step])) for some in shown for step in (1, -1)]


def test_an_object_that_is_not_tilted_stays_as_it_is() -> None:
    found = cut_out(scene(50, 40, 60, 50), (46, 38, 120, 100))
    assert found is not None
    same = found.tilted(0)
    assert np.array_equal(same.image, found.image)
    assert np.array_equal(same.alpha, found.alpha)
    assert same.outline is None


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
