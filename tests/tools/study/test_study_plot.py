"""The plot of a study: of what there is, and not without anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studies import study
from test_study_result import BASE, plus

from inpaint_transform.tools.study import plot


def colours(path: Path) -> set[str]:
    """Which of green, red and blue there are."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    names = {"green": (44, 160, 44), "red": (214, 39, 40), "blue": (31, 119, 180)}
    return {name for name, colour in names.items() if (np.abs(pixels - colour).max(axis=1) < 4).sum() > 20}


def test_verdicts_have_colours(tmp_path: Path) -> None:
    noise = (0.01, -0.012, 0.02, -0.017, 0.004, -0.008, 0.013, -0.006)
    study({"nothing": BASE, "good": plus(0.03), "bad": plus(-0.03), "same": plus(0, *noise)}).plot(tmp_path / "a.png")
    assert colours(tmp_path / "a.png") == {"green", "red", "blue"}
    study({"nothing": BASE[:3], "good": [0.9] * 3}).plot(tmp_path / "b.png")
    assert colours(tmp_path / "b.png") == set()


def test_every_arm_stands_where_the_axis_says(tmp_path: Path) -> None:
    """One that is compared with another baseline would look better than the best otherwise."""
    values = {"nothing": BASE, "pasted": plus(0.05), "oracle": plus(0.02)}
    found = study(values, ("nothing", "pasted"), values, references=("oracle",), args={"pasted": "--paste"})
    found.plot(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "-3.0, reference (+2.1 over nothing)" in text
    assert found.compare("oracle", "pasted").mean == pytest.approx(-0.03)


def test_names_may_hold_what_matplotlib_reads_as_formulas(tmp_path: Path) -> None:
    found = study({"nothing": BASE, "a": plus(0.03)})
    found.header["metric"]["test"] = "map$_50^"
    found.plot(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_nothing_is_said_to_be_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw yet"):
        study({"nothing": [None], "a": [0.1]}).plot(tmp_path / "a.png")
    assert plot.available()
