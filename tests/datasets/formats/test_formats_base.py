"""A box that is read: inside, a hair outside, far outside, and what becomes of it with and without clipping."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.boxes import TIE
from inpaint_transform.datasets.formats.base import LeftOut, check_size, labelled, number

HEIGHT, WIDTH = 400, 600
coordinates = st.floats(-300, 900)


@given(x0=coordinates, y0=coordinates, x1=coordinates, y1=coordinates, clip=st.booleans())
def test_a_box_ends_inside_the_picture_or_nowhere(x0: float, y0: float, x1: float, y1: float, clip: bool) -> None:
    corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    over = max(-corners[0] / 6, -corners[1] / 4, (corners[2] - WIDTH) / 6, (corners[3] - HEIGHT) / 4)  # in percent
    if not clip and over > 1:
        with pytest.raises(ValueError, match="outside the picture of 600x400; --clip"):
            labelled(corners, "cone", HEIGHT, WIDTH)
        return
    found = labelled(corners, "cone", HEIGHT, WIDTH, clip)
    if isinstance(found, LeftOut):
        assert clip
        assert corners[2] <= 0 or corners[3] <= 0 or corners[0] >= WIDTH or corners[1] >= HEIGHT
        return
    box, label, exact, outline = found
    assert outline is None
    assert label == "cone"
    assert 0 <= exact[0] <= exact[2] <= WIDTH
    assert 0 <= exact[1] <= exact[3] <= HEIGHT
    assert all(abs(whole - part - TIE) <= 0.5 + 1e-9 for whole, part in zip(box, exact, strict=True))
    inside = (max(corners[0], 0), max(corners[1], 0), min(corners[2], WIDTH), min(corners[3], HEIGHT))
    if inside[0] <= inside[2] and inside[1] <= inside[3]:
        assert exact == inside


def test_the_tolerance_is_a_pixel_in_a_small_picture() -> None:
    assert labelled((-1, -1, 11, 11), "cone", 10, 10) == ((0, 0, 10, 10), "cone", (0, 0, 10, 10), None)
    with pytest.raises(ValueError, match="outside"):
        labelled((-1.1, 0, 5, 5), "cone", 10, 10)


@pytest.mark.parametrize("clip", [False, True])
def test_what_is_no_box_stays_none(clip: bool) -> None:
    for corners in ((5, 0, 4, 3), (0, 0, math.nan, 3), (0, -math.inf, 2, 3)):
        with pytest.raises(ValueError, match="inverted|not finite"):
            labelled(corners, "cone", 10, 10, clip)


def test_numbers_and_sizes() -> None:
    assert number(" 1e2 ") == 100
    for wrong in (None, "x", True, [], 10**400):
        with pytest.raises(ValueError, match="missing|not a number"):
            number(wrong)
    check_size(0, None, 10, 20)
    check_size("20", 10.0, 10, 20)
    with pytest.raises(ValueError, match="written for 10x20 pixels, but the picture is 20x10"):
        check_size(10, 20, 10, 20)
