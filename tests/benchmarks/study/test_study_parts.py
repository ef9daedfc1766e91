"""The parts: arms say what they are for, every command can be read, and nothing of this machine is in them."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study import bank, parts, train
from inpaint_transform.study import read_study

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> parts.Settings:
    monkeypatch.setattr(bank, "digest_of_weights", lambda model: "0123456789ab")
    return parts.Settings(root.parent, tmp_path / "out")


def commands(study: dict[str, Any]) -> list[list[str]]:
    """The words of each arm's command."""
    values = {"python": "python", "draw": "3", "seed": "4", "out": "folder", "device": "cpu"}
    return [
        shlex.split(study["command"].format(**values, args=arm["args"], n=arm["n"] or study["n"]))
        for arm in study["arms"].values()
    ]


@pytest.mark.parametrize("name", parts.PARTS)
def test_every_command_can_be_read(settings: parts.Settings, name: str) -> None:
    part = dataclasses.replace(parts.PARTS[name], dataset="drawn")
    for study in parts.studies(name, part, settings):
        assert any(arm["baseline"] for arm in study["arms"].values())
        assert not all(arm["baseline"] for arm in study["arms"].values())
        for words in commands(study):
            assert words[:3] == ["python", "-m", "benchmarks.study.train"]
            given = train.parse(words[3:])
            assert (given.draw, given.seed, given.set) == (3, 4, "drawn")
            assert (given.weights is not None) == (given.paint in ("prior", "identity"))
            # A gate has nothing to say where no model paints.
            assert given.paint in ("prior", "closed") or not (given.gate or given.balance)


def test_nothing_of_this_machine_is_in_a_command(settings: parts.Settings, tmp_path: Path) -> None:
    [study] = parts.studies("quick", parts.QUICK, settings)
    told = json.dumps([study["command"], study["arms"]])
    assert str(tmp_path) not in told
    assert str(settings.data) not in told
    assert parts.environment(settings)[train.DATA] == str(settings.data)


def test_prior_and_closed_generators_are_never_in_one_table() -> None:
    for part in parts.PARTS.values():
        said = " ".join(part.arms.values())
        prior = any(f"--paint {kind}" in said for kind in ("prior", "identity"))
        assert prior != ("--paint closed" in said)


def test_only_some_arms(settings: parts.Settings) -> None:
    chosen = dataclasses.replace(settings, arms=["strong", "closed"], n=[8], draws=3)
    [study] = parts.studies("quick", parts.QUICK, chosen)
    assert list(study["arms"]) == ["closed", "strong"]  # what paints comes first
    assert study["name"] == "quick-8"
    assert study["draws"] == 3
    with pytest.raises(ValueError, match="'magic': quick with n=6 has the arms strong"):
        parts.studies("quick", parts.QUICK, dataclasses.replace(settings, arms=["magic"]))


def test_another_prior_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(train.DATA, str(root.parent))
    monkeypatch.setenv(train.CACHE, str(tmp_path))
    words = ["--set", "drawn", "--n", "6", "--draw", "0", "--seed", "0", "--out", str(tmp_path), "--weights", "nothing"]
    with pytest.raises(ValueError, match="--weights nothing: STUDY_MODEL='tiny' has the weights"):
        train.main(words)


def study(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.study", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_whole_path(tmp_path: Path) -> None:
    said = study("--quick", "--out", str(tmp_path))
    assert "Nothing can be concluded" in said
    found = read_study(tmp_path / "quick-6")
    assert found.finished == found.planned
    assert not found.failed
    rows = [json.loads(line) for line in (tmp_path / "quick-6" / "results.jsonl").read_text().splitlines()]
    runs = [row for row in rows if "run" in row]
    # Equal numbers of changed boxes, as far as so few showings tell.
    changed = {row["arm"]: row["metrics"]["changed"] for row in runs if row["draw"] == 0}
    assert changed["strong"] == 0
    assert all(value > 0 for arm, value in changed.items() if not arm.startswith(("strong", "real")))
    before = (tmp_path / "quick-6" / "results.jsonl").read_bytes()
    study("--quick", "--out", str(tmp_path))
    assert (tmp_path / "quick-6" / "results.jsonl").read_bytes() == before
