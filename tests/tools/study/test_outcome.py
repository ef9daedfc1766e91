"""What a training command has written is read, or it is said why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaint_transform.tools.study import outcome


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_is_read_by_path(tmp_path: Path) -> None:
    content = {"bbox": {"map": 0.4, "by class": {"cone": 1}}, "note": "x", "ok": True, "bad": float("nan"), "all": [1]}
    assert outcome.read_metrics(written(tmp_path, "m.json", content)) == {"bbox.map": 0.4, "bbox.by class.cone": 1.0}


def test_of_csv_the_last_row_counts(tmp_path: Path) -> None:
    # As Ultralytics pads them.
    text = "  epoch,   metrics/mAP50-95(B),  note\n  1,  0.1, a\n  2,  0.25, b\n\n"
    found = outcome.read_metrics(written(tmp_path, "results.csv", text))
    assert found == {"epoch": 2.0, "metrics/mAP50-95(B)": 0.25}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.json", "{", "m.json: .*not JSON"),
        ("m.csv", "a,b\n", "m.csv: it has no row"),
        ("m.csv", "", "m.csv: it has no row"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(outcome.OutcomeError, match=said):
        outcome.read_metrics(written(tmp_path, name, content))


def test_a_missing_file_and_a_missing_metric_are_named(tmp_path: Path) -> None:
    with pytest.raises(outcome.OutcomeError, match=r"has written no metrics\.json"):
        outcome.read_metrics(tmp_path / "metrics.json")
    outcome.check({"map": 1.0}, "map", None)
    with pytest.raises(outcome.OutcomeError, match="no finite number 'mAP'; it has loss, map"):
        outcome.check({"map": 1.0, "loss": 2.0}, "map", "mAP")


def test_numbers_by_picture_are_resampled(tmp_path: Path) -> None:
    path = written(tmp_path, "i.json", {"b.jpg": 1.0, "a.jpg": 0.0, "c.jpg": 0.5, "d.jpg": 0.5})
    found = outcome.read_resampled(path, None, 0.5)
    assert np.mean(found.values) == pytest.approx(0.5, abs=0.05)
    assert np.std(found.values) == pytest.approx(np.std([0, 1, 0.5, 0.5]) / 2, rel=0.2)
    same = written(tmp_path, "j.json", {"d.jpg": 0.5, "c.jpg": 0.5, "a.jpg": 0.0, "b.jpg": 1.0})
    assert outcome.read_resampled(same, None, 0.5) == found
    other = written(tmp_path, "k.json", {"d.jpg": 0.5, "e.jpg": 0.5})
    assert outcome.read_resampled(other, None, 0.5).pictures != found.pictures


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 0.1}, "its metric is 0.1000, and the test metric is 0.5000"),
        ({"a": "x"}, "a picture has no finite number"),
        ({}, "give {picture: number}"),
        ("7", "give {picture: number}"),
        ([], "give metric.ground_truth"),
        ("{", "not JSON"),
    ],
)
def test_other_results_by_picture_are_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(outcome.OutcomeError, match=said):
        outcome.read_resampled(written(tmp_path, "i.json", content), None, 0.5)
    with pytest.raises(outcome.OutcomeError, match="has written no none.json"):
        outcome.read_resampled(tmp_path / "none.json", None, 0.5)
