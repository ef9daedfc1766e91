"""The table of presets in the README is the one that ``PRESETS`` gives."""

from __future__ import annotations

import re

import pytest

from benchmarks import preset_table
from inpaint_transform.core.models import PRESETS


def test_the_readme_is_current() -> None:
    text = preset_table.README.read_text("utf-8")
    assert preset_table.with_table(text) == text, "run python -m benchmarks.preset_table"


def test_every_preset_has_a_row_with_what_it_loads() -> None:
    rows = preset_table.table().splitlines()[2:]
    assert [re.match(r"\| `([\w-]+)` \|", row)[1] for row in rows] == list(PRESETS)  # type: ignore[index] # or it fails
    for row, (name, spec) in zip(rows, PRESETS.items(), strict=True):
        assert name == "tiny" or f"`{spec.id}`" in row
        assert f"| {spec.size} | {spec.steps} |" in row
        assert len(row.split(" | ")) == len(preset_table.COLUMNS)
    assert set(preset_table.NOTES) == set(PRESETS)


def test_a_text_without_its_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="end of presets"):
        preset_table.with_table(f"# Models\n{preset_table.BEGIN}")
