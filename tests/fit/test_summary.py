"""The page: numbers, warnings and pictures, safe whatever classes are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.fit import summary
from inpaint_transform.fit.evaluate import Shown

PICTURE = np.zeros((8, 8, 3), np.uint8)
READ = {"balanced_accuracy": 0.9, "swaps_only": 0.8, "real_unseen_boxes": 1.0}
NUMBERS: dict[str, Any] = {
    "edits": 360,
    "swaps": 180,
    "rejected": 2,
    "read_back_without_blur": READ,
    "read_back_with_blur": READ,
    "detector": {"painted_found": 0.91, "real_found": None},
    "real_or_painted": 0.75,
    "real_or_painted_coarse": 0.65,
    "sharpness": {"all": 0.7},
    "sharpness_over_resampled": {"all": 0.9},
    "resampling_alone": {"real_or_painted": 0.6, "real_or_painted_coarse": 0.51, "sharpness": {"all": 0.4}},
    "diversity": {"<b>": 0.5},
    "nearest": {"<b>": None},
}


def card(numbers: dict[str, Any] | None) -> dict[str, Any]:
    counts = {"pictures": 3, "boxes": {}}
    return {
        "base": "<i>",
        "weights": "all",
        "seconds": 90,
        "data": {"train": counts, "held_out": counts},
        "warnings": ["too <few>"],
        "evaluation": numbers,
    }


def test_the_page(tmp_path: Path) -> None:
    stages = {"denoiser": {"held_out": [[1, 3.0], [2, 1.0]]}, "decoder": {"held_out": []}}
    summary.write(card(NUMBERS), [Shown("<b>", "a", PICTURE, PICTURE, PICTURE)], stages, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<b>" not in page
    assert "<i>" not in page
    assert "too &lt;few&gt;" in page
    assert "&lt;b&gt; painted as a" in page
    assert "91.0%" in page
    assert "65.0%" in page
    assert "3.0000 to 1.0000" in page
    assert page.count("<svg") == 1


def test_without_an_evaluation(tmp_path: Path) -> None:
    summary.write(card(None), [], {}, tmp_path / "page.html")
    assert "Not evaluated" in (tmp_path / "page.html").read_text()
