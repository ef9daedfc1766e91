"""The fit command: it reads every format, keeps the set's own validation split apart, and says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawn import draw_set
from typer.testing import CliRunner

from inpaint_transform import fit as room
from inpaint_transform.tools.cli import app


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six pictures to train on and two for validation, in YOLO's layout."""
    source = tmp_path / "set"
    for split, count, seed in (("train", 6, 0), ("valid", 2, 1), ("test", 1, 2)):
        labels = source / split / "labels"
        labels.mkdir(parents=True)
        for sample in draw_set(source / split / "images", count, seed=seed):
            rows = [
                f"{number} {(x0 + x1) / 384:.6f} {(y0 + y1) / 192:.6f} {(x1 - x0) / 192:.6f} {(y1 - y0) / 96:.6f}"
                for number, (x0, y0, x1, y1) in enumerate(sample.boxes)
            ]
            (labels / f"{sample.image.stem}.txt").write_text("\n".join(rows))
    (source / "data.yaml").write_text("names: [disc, square]")
    return source


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the library is asked for, which is then not done."""
    calls: list[dict[str, Any]] = []

    def fit(train: Any, held_out: Any, **arguments: Any) -> dict[str, Any]:
        calls.append({"train": train, "held_out": held_out, **arguments})
        return {"seconds": 60}

    monkeypatch.setattr(room, "fit", fit)
    return calls


def test_what_was_typed_arrives(dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    code, output = run(
        *("fit", dataset, "--format", "yolo", "--out", tmp_path / "out", "--base", "sd15", "--rank", 8, "--steps", 5),
        *("--prompt", "disc=a red disc", "--prompt", "one {label}", "--turnable", "disc", "--licence", "CC0"),
    )
    assert code == 0, output
    assert "page.html" in output
    [call] = asked
    assert len(call["train"]) == 6
    assert len(call["held_out"]) == 2
    assert call["train"][0].labels == ("disc", "square")
    assert (call["base"], call["rank"], call["steps"], call["batch"]) == ("sd15", 8, 5, None)
    assert call["prompts"] == {"disc": ["a red disc"], "square": ["one {label}"]}
    assert (call["turnable"], call["licence"]) == (["disc"], "CC0")


def test_outlines_arrive(dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    (dataset / "train" / "labels" / "000.txt").write_text("0 0.1 0.1 0.5 0.1 0.3 0.6\n1 0.7 0.7 0.2 0.2")
    run("fit", dataset, "--format", "yolo", "--out", tmp_path / "out")
    triangle, none = asked[0]["train"][0].outlines
    assert len(triangle) == 3
    assert none is None


def test_attributes_fill_prompts(dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    code, output = run(
        *("fit", dataset, "--format", "yolo", "--out", tmp_path / "out"),
        *("--prompt", "a {color} {label}", "--attribute", "color=red,blue"),
    )
    assert code == 0, output
    [call] = asked
    assert call["attributes"] == {"color": ["red", "blue"]}
    assert call["prompts"]["disc"] == ["a {color} {label}"]


def test_one_class_only(dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    run("fit", dataset / "train" / "images", "--boxes", dataset / "train" / "labels", "--names", "disc,square",
        "--format", "yolo", "--out", tmp_path / "out", "--only", "square")  # fmt: skip
    [call] = asked
    assert {label for sample in call["train"] for label in sample.labels} == {"square"}
    # The discs are there still, and are no background.
    assert all(len(sample.others) == 1 for sample in call["train"])
    assert list(call["prompts"]) == ["square"]
    assert asked[0]["held_out"] is None


def test_what_is_used_and_left_out_stands_at_the_end(
    dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    code, output = run("fit", dataset, "--format", "yolo", "--out", tmp_path / "out", "--only", "square")
    assert code == 0, output
    assert "pictures: 9 seen, 8 used, 1 left out (1 of the split test)" in output
    assert "boxes: 18 seen, 8 used, 10 left out (8 of other labels than --only, 2 of the split test)" in output


def test_a_broken_label_file_is_named_and_left_out(dataset: Path, tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    (dataset / "train" / "labels" / "000.txt").write_text("0 0.5 0.5 x 0.5")
    code, output = run("fit", dataset, "--format", "yolo", "--out", tmp_path / "out")
    assert code == 1
    assert "000.txt" in output
    assert len(asked[0]["train"]) == 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--device", "tpu"), "auto, cpu, cuda or mps"),
        (("--prompt", "a {size} {label}"), "nothing fills {size}"),
        (("--prompt", "disk=a disc"), "no class is called 'disk'"),
        (("--turnable", "disks"), "no class is called 'disks'"),
        (("--only", "disc", "--only", "squares"), "no class is called 'squares'"),
        (("--attribute", "size"), "attribute 'size': give NAME=VALUE"),
        (("--steps", "-1"), "--steps"),
        (("--steps", "0"), "steps=0: the base does not know"),
        (("--base", "/"), "no model_index.json"),
        (("--batch", "2", "--rate", "7"), "rate=7.0"),
    ],
)
def test_bad_input_is_one_line(dataset: Path, tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    code, output = run("fit", dataset, "--format", "yolo", "--out", tmp_path / "out", *more)
    assert code != 0
    assert said in output.replace("\n", " ")
    assert "Traceback" not in output


def test_it_does_not_write_into_its_source(dataset: Path) -> None:
    code, output = run("fit", dataset, "--format", "yolo", "--out", dataset / "train" / "images" / "out")
    assert code == 1
    assert "overlaps" in output


@pytest.mark.slow
def test_a_model_is_fitted(dataset: Path, tmp_path: Path) -> None:
    small = ("--base", "none", "--architecture", "minute", "--autoencoder-steps", 1, "--decoder-steps", 1)
    few = ("--steps", 2, "--batch", 2, "--crops", 8, "--edits", 0)
    code, output = run("fit", dataset, "--format", "yolo", "--out", tmp_path / "out", *small, *few)
    assert code == 0, output
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["data"]["held_out"]["pictures"] == 2
