"""Sample sheets: a row a box, every class in turn, always the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_evaluate import Drawer

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import Sample, architecture, sheets
from inpaint_transform.fit.autoencoder import Pixels
from inpaint_transform.fit.examples import Crops


def test_edits(samples: list[Sample]) -> None:
    recipe = Recipe(prompts="{label}", min_box_size=16)
    sheet = sheets.edit_sheet(Drawer(), samples, recipe, ["disc", "square"])
    assert sheet.shape == (sheets.ROWS * 156, 3 * 156, 3)
    assert np.array_equal(sheet, sheets.edit_sheet(Drawer(), samples, recipe, ["disc", "square"]))
    first = sheet[:156].astype(int)
    # A disc as it is, as a disc, and as a square.
    red = [(part[..., 0] - part[..., 2] > 60).sum() for part in np.split(first, 3, axis=1)]
    assert min(red[:2]) > 500 > red[2]


def test_round_trips(samples: list[Sample], tmp_path: Path) -> None:
    pixels = Pixels(Crops(samples, 32, 2), 5, 0, tmp_path / "pixels.npy", progress=False)
    sheet = sheets.round_trip_sheet(architecture.build("minute", ["a"], 0).vae, pixels)
    assert sheet.shape == (64, 5 * 32, 3)
