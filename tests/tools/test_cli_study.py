"""The study command: says what is found, what failed and what is wrong, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from commands import run
from PIL import Image
from studies import FAILING, TRAINING, configuration, results


def write(folder: Path, **changes: object) -> Path:
    config = configuration(folder, **changes)
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({**config, "out": str(config["out"])}))
    return path


def test_it_trains_and_tells(tmp_path: Path) -> None:
    path = write(tmp_path)
    code, said = run("study", path, "--device", "a", "--device", "b")
    assert code == 0, said
    assert "better beats nothing by 5.0 points" in said
    assert "wrote " in said
    with Image.open(tmp_path / "study" / "study.png") as picture:
        assert picture.width > 500
    assert {row["device"] for row in results(tmp_path / "study")} == {"a", "b"}
    (tmp_path / "study" / "study.html").unlink()
    code, again = run("study", path, "--results")
    assert code == 0
    assert "better beats nothing" in again
    assert (tmp_path / "study" / "study.html").exists()


def test_failed_runs_are_told_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("study", write(tmp_path, training=FAILING + TRAINING))
    assert code == 1
    assert "better, draw 1 failed (killed by SIGKILL)" in said
    assert "Four runs failed (better); the same command tries them again." in said


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, draws=0)
    code, said = run("study", path)
    assert (code, said) == (1, "Error: s.yaml: draws='0': use a count >= 1\n")
    code, said = run("study", write(tmp_path), "--results")
    assert code == 1
    assert "there are no results of a study" in said
    code, said = run("study", tmp_path / "none.yaml")
    assert code == 1
    assert "none.yaml" in said
