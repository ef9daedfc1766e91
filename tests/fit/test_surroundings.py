"""Surroundings keep their size and change their looks, by the draws alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.fit.surroundings import recoloured, shaded


def floor(height: int = 60, width: int = 80) -> np.ndarray:
    ramp = np.linspace(60, 190, width)[None, :, None]
    return np.broadcast_to(ramp * (1.0, 0.8, 0.6), (height, width, 3)).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 999))
def test_a_recoloured_floor_is_a_floor_of_that_size(height: int, width: int, seed: int) -> None:
    picture = floor(height, width)
    kept = picture.copy()
    found = recoloured(picture, np.random.default_rng(seed))
    assert found.shape == picture.shape
    assert found.dtype == np.uint8
    assert np.array_equal(picture, kept)
    assert np.array_equal(found, recoloured(picture, np.random.default_rng(seed)))


def test_floors_come_in_many_colours_and_keep_what_is_light_and_dark() -> None:
    picture = floor()
    found = [recoloured(picture, np.random.default_rng(seed)).astype(float) for seed in range(40)]
    strongest = {int(one.mean(axis=(0, 1)).argmax()) for one in found}
    assert strongest == {0, 1, 2}
    means = [one.mean() for one in found]
    assert max(means) > 2 * min(means)
    brighter = [one[:, -20:].mean() > one[:, :20].mean() for one in found]
    assert np.mean(brighter) > 0.8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999))
def test_a_shadow_lies_at_the_foot(seed: int) -> None:
    picture = np.full((120, 160, 3), 200, np.uint8)
    found = shaded(picture, (60, 30, 100, 80), np.random.default_rng(seed))
    darker = 200 - found[..., 0].astype(int)
    assert (found <= picture).all()
    assert darker.max() > 10
    assert darker[:20].max() <= 1
    weight = darker.sum(axis=1)
    middle = float((weight * np.arange(120)).sum() / weight.sum())
    assert 50 < middle < 90
