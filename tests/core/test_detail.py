"""Detail: what is painted is as sharp and grainy as its surroundings, and what was right stays as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.detail import match_detail


def textured(seed: int, height: int = 120, width: int = 150, contrast: float = 60) -> np.ndarray:
    """A picture with detail of all sizes."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(0, contrast, (height, width)), (0, 0), blur) * blur for blur in (0.5, 1.5, 4)]
    return np.clip(np.add((110, 128, 140), sum(layers)[..., None]), 0, 255).astype(np.uint8)


def box(x0: int, y0: int, x1: int, y1: int, height: int = 120, width: int = 150) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def sharpness(picture: np.ndarray, mask: np.ndarray) -> float:
    return float(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)[mask].var())


MASK = box(50, 40, 100, 80)


def test_what_a_model_has_blurred_is_as_sharp_as_the_picture_around_it() -> None:
    original, other = textured(0, contrast=6), textured(1, contrast=6)
    painted = cv2.GaussianBlur(np.where(MASK[..., None], other, original), (0, 0), 0.8)
    found = match_detail(painted, original, MASK, 0)
    wanted = sharpness(original, ~MASK)
    before, after = sharpness(painted, MASK), sharpness(found, MASK)
    assert before < 0.5 * wanted
    assert 0.6 * wanted < after < 1.2 * wanted


def test_strong_texture_comes_nearer_to_what_it_was() -> None:
    original, other = textured(0), textured(1)
    painted = cv2.GaussianBlur(np.where(MASK[..., None], other, original), (0, 0), 0.8)
    found = match_detail(painted, original, MASK, 0)
    before, after = (np.abs(picture[MASK].astype(int) - other[MASK]).mean() for picture in (painted, found))
    assert after < 0.9 * before
    assert sharpness(found, MASK) > 2 * sharpness(painted, MASK)


def test_what_a_model_makes_too_grainy_is_smoothed() -> None:
    original = cv2.GaussianBlur(textured(0), (0, 0), 1.0)
    rng = np.random.default_rng(2)
    painted = np.clip(original + rng.normal(0, 6, original.shape), 0, 255).astype(np.uint8)
    found = match_detail(painted, original, MASK, 0)
    assert sharpness(found, MASK) < 0.5 * sharpness(painted, MASK)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 140), st.integers(0, 110), st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_model_that_loses_nothing_is_left_alone(x: int, y: int, width: int, height: int, seed: int) -> None:
    mask = box(x, y, x + width, y + height)
    original = textured(seed)
    painted = np.where(mask[..., None], textured(seed + 9), original)
    assert np.array_equal(match_detail(painted, original, mask, 0), painted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 140), st.integers(0, 110), st.integers(1, 150), st.integers(1, 120))
def test_nothing_changes_beyond_the_rectangle_of_the_mask(x: int, y: int, width: int, height: int) -> None:
    mask = box(x, y, x + width, y + height)
    painted, original = cv2.GaussianBlur(textured(1), (0, 0), 1.0), textured(0)
    before = painted.copy()
    found = match_detail(painted, original, mask, 0)
    assert found.shape == painted.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found[~mask], before[~mask])
    assert np.array_equal(painted, before)


def test_the_texture_of_a_carpet_is_no_grain() -> None:
    """An object is painted before it: it gets no more grain than a camera makes."""
    rng = np.random.default_rng(3)
    original = np.clip(rng.normal(120, 40, (120, 150, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
    painted = np.full_like(original, 90)
    found = match_detail(painted, original, MASK, 0)[MASK].astype(float)
    assert 0 < found.std() < 4
    assert abs(found.mean() - 90) < 1


def test_edges_get_no_halos() -> None:
    """A picture without grain: no pixel is darker or lighter than what was painted around it."""
    original = np.full((120, 150, 3), 60, np.uint8)
    original[:, ::30] = 200
    step = np.full_like(original, 60)
    step[:, 75:] = 200
    painted = cv2.GaussianBlur(np.where(MASK[..., None], step, original), (0, 0), 1.5)
    found = match_detail(painted, original, MASK, 0)
    grain = 12
    assert found[MASK].min() >= 60 - grain
    assert found[MASK].max() <= 200 + grain
    inner = np.s_[55:65, 60:90]
    assert (
        np.abs(np.diff(found[inner].astype(int), axis=1)).max()
        > np.abs(np.diff(painted[inner].astype(int), axis=1)).max()
    )


@pytest.mark.parametrize("mask", [np.ones((120, 150), bool), np.zeros((120, 150), bool)])
def test_without_surroundings_nothing_is_told(mask: np.ndarray) -> None:
    painted = textured(1)
    assert match_detail(painted, textured(0), mask, 0) is painted


def test_a_flat_picture_stays_flat() -> None:
    flat = np.full((120, 150, 3), 77, np.uint8)
    assert np.array_equal(match_detail(flat, flat, MASK, 0), flat)
