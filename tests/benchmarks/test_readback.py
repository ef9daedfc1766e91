"""The read-back measures a model as its preset sets it, but for what is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import readback, report
from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.fit.evaluate import Evaluation, Shown
from inpaint_transform.fit.pictures import Sample


@pytest.mark.parametrize(("given", "steps"), [((), PRESETS["tiny"].steps), (("--steps", "3"), 3)])
def test_what_is_not_asked_for_is_the_presets(
    given: tuple[str, ...], steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ModelSpec] = []
    monkeypatch.setattr(readback, "connect", asked.append)
    monkeypatch.setattr(readback, "load_round_trip", lambda spec: None)
    tile = np.zeros((8, 8, 3), np.uint8)
    shown = [Shown("cone", "cone", tile, tile, tile)] * 5
    monkeypatch.setattr(readback, "evaluate", lambda *arguments: Evaluation({}, shown))
    monkeypatch.setattr(readback, "edit_sheet", lambda *arguments: np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(
        readback.data, "samples", lambda roots, splits: [Sample(Path("a.png"), ((0, 0, 20, 20),), ("cone",))]
    )
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["readback", "--data", "cells", "--sheets", str(tmp_path / "sheets"), *given])
    readback.main()
    resolved = asked[0].resolved()
    preset = PRESETS["tiny"].resolved()
    assert (resolved.size, resolved.steps, resolved.guidance_scale) == (preset.size, steps, preset.guidance_scale)
    settings = json.loads((tmp_path / "readback.json").read_text("utf-8"))["results"]["settings"]
    assert (settings["model"], settings["size"], settings["steps"]) == ("tiny", preset.size, steps)
    assert (tmp_path / "readback_cells.png").exists()
    # Two rows of four pairs, the last one filled up.
    sheet = cv2.imread(str(tmp_path / "sheets" / "readback_cells_cone.jpg"))
    assert sheet.shape == (2 * (8 + 4), 4 * (2 * 8 + 4), 3)
