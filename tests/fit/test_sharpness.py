"""Sharpness: it falls with blur, and is compared with pictures of the same class and size only."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inpaint_transform.fit.sharpness import ratios, sharpness


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_it_falls_with_blur() -> None:
    picture = noise(40)
    assert sharpness(cv2.GaussianBlur(picture, (0, 0), 1)) < sharpness(picture) / 4
    assert sharpness(np.zeros((9, 9, 3), np.uint8)) == 0


def test_painted_ones_over_real_ones() -> None:
    real = {"a": [noise(40, seed) for seed in range(4)], "b": [noise(40, seed) for seed in range(4)]}
    soft = [cv2.GaussianBlur(picture, (0, 0), 1) for picture in real["b"]]
    found = ratios(real, {"a": real["a"], "b": soft}, ["a", "b"])
    assert found["a"] == pytest.approx(1, abs=0.1)
    assert found["b"] < 0.25
    assert found["b"] < found["all"] < found["a"]


def test_only_what_is_of_one_size_is_compared() -> None:
    assert ratios({"a": [noise(40)] * 3}, {"a": [noise(61)]}, ["a"]) == {"all": None, "a": None}
    assert ratios({"a": [noise(40)] * 2}, {"a": [noise(40)]}, ["a"]) == {"all": None, "a": None}
    assert ratios({"a": [noise(40)] * 3}, {"a": [noise(59)]}, ["a"])["a"] is not None
