"""What gives an autoencoder's copies away: what is given back is the photograph's, and every box is copied."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import draw_set

from benchmarks import report, told
from inpaint_transform.fit import classifiers

CROP = np.random.default_rng(0).integers(60, 200, (128, 128, 3)).astype(np.uint8)
COPY = np.random.default_rng(1).integers(60, 200, (128, 128, 3)).astype(np.uint8)


def in_parts(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and colours."""
    found = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(float)
    return found[..., 0], found[..., 1:]


@pytest.mark.parametrize(
    ("way", "bright_one", "coloured_one"),
    [("colours of the photograph", COPY, CROP), ("brightness of the photograph", CROP, COPY)],
    ids=["colours", "brightness"],
)
def test_brightness_and_colours_come_from_where_it_is_said(
    way: str, bright_one: np.ndarray, coloured_one: np.ndarray
) -> None:
    (bright, colours), (own_bright, _), (_, other_colours) = map(
        in_parts, (told.WAYS[f"autoencoder, {way}"](CROP, COPY), bright_one, coloured_one)
    )
    # Where a level of 255 is not left by the mixture they are the same but for rounding.
    assert np.median(np.abs(bright - own_bright)) <= 1
    assert np.median(np.abs(colours - other_colours)) <= 1


@pytest.mark.parametrize("side", [16, 32])
def test_what_is_coarse_is_the_photographs_and_what_is_fine_the_copys(side: int) -> None:
    mixed = told.WAYS[f"autoencoder, {side}x{side} pixels of the photograph"](CROP, COPY).astype(float)
    apart = [np.abs(told.coarse(mixed, side) - told.coarse(other, side)).mean() for other in (CROP, COPY)]
    assert apart[0] < 0.5 * apart[1]
    fine = COPY - told.coarse(COPY, side)
    assert np.corrcoef((mixed - told.coarse(mixed, side)).ravel(), fine.ravel())[0, 1] > 0.95


def test_fewer_pixels_say_less() -> None:
    crop = cv2.GaussianBlur(CROP, (0, 0), 3)
    lost = [
        np.abs(told.WAYS[f"photograph through {n}x{n} pixels"](crop, COPY) - crop.astype(float)).mean()
        for n in (64, 32)
    ]
    assert 0 < lost[0] < lost[1]


def test_every_box_is_copied_and_each_way_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = draw_set(tmp_path, 4)
    monkeypatch.setattr(told.data, "samples", lambda roots, splits: samples)
    monkeypatch.setattr(told, "load_round_trip", lambda spec: lambda images: images)
    monkeypatch.setattr(classifiers, "STEPS", 2)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["told", "--data", "drawn"])
    told.main()
    found = json.loads((tmp_path / "told.json").read_text("utf-8"))["results"]["drawn"]
    assert found["boxes"] == 8
    assert found["told"].keys() == told.WAYS.keys()
    assert all(0 <= share <= 1 for share in found["told"].values())
