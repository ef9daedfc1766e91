"""Ranges: depths of cameras by name."""

from __future__ import annotations

import pytest

from inpaint_transform.core.ranges import looks_black


@pytest.mark.parametrize(("bits", "black"), [(8, False), (10, True), (12, True), (14, False), (16, False)])
def test_pictures_of_few_bits_look_black(bits: int, black: bool) -> None:
    assert looks_black(2**bits - 1) is black
