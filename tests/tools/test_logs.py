"""The commands that read a log, report and replay: what they write, and what they say when they cannot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.reports import drawing
from inpaint_transform.reports.log import at, digest
from inpaint_transform.tools.cli import app

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
SPEC = ModelSpec("tiny", device="cpu", serving="local", steps=2)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """A log of two images, the first image's file, and what it became."""
    folder = tmp_path_factory.mktemp("painted")
    inpaint = BBoxInpaint(SPEC, log=str(folder / "log.jsonl"), log_crops=True, p=1.0, seed=1)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    found = [
        transform(image=image, bboxes=[[30, 20, 80, 70]], labels=["cube"])["image"] for image in (IMAGE, IMAGE[::-1])
    ]
    Image.fromarray(IMAGE).save(folder / "picture.png")
    return folder / "log.jsonl", folder / "picture.png", found[0]


def test_report_writes_both_kinds(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, _, _ = painted
    for name in ("page.html", "sheet.png"):
        code, said = run("report", log, "--out", tmp_path / name, "--limit", 2)
        assert code == 0, said
        assert f"{name}: 2 of 2 edits accepted" in said
        assert (tmp_path / name).stat().st_size > 1000


def test_report_tells_what_was_not_painted_yet(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    first, second = (json.loads(line) for line in painted[0].read_text().splitlines())
    second |= {"accepted": False, "reason": "cold", "reuse": "cold", "crop": None}
    copy = tmp_path / "log.jsonl"
    copy.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    code, said = run("report", copy, "--out", tmp_path / "page.html")
    assert code == 0
    assert "1 of 1 edits accepted, 1 not painted yet" in said


def test_report_goes_on_after_damaged_lines(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, _, _ = painted
    copy = tmp_path / "log.jsonl"
    copy.write_text("{\n" * 7 + log.read_text())
    code, said = run("report", copy, "--out", tmp_path / "page.html")
    assert code == 1
    assert "line 5" in said
    assert "line 6" not in said
    assert "7 lines cannot be read and are left out" in said
    assert "2 of 2 edits accepted" in said


@pytest.mark.parametrize(
    ("content", "out", "code", "words"),
    [
        (None, "page.html", 1, "log.jsonl: there is no such log; BBoxInpaint(log=...) writes one"),
        ("", "page.html", 1, "no edits"),
        ("{\n", "page.html", 1, "log.jsonl, line 1"),
        ('{"version": 99}\n', "page.html", 1, "version 99"),
        ("{", "page.html", 1, "no edits"),
        ("", "page.txt", 2, ".html"),
        ("", "no/such/page.html", 2, "cannot be written"),
    ],
)
def test_report_says_what_is_wrong(tmp_path: Path, content: str | None, out: str, code: int, words: str) -> None:
    log = tmp_path / "log.jsonl"
    if content is not None:
        log.write_text(content)
    exit_code, said = run("report", log, "--out", tmp_path / out)
    assert exit_code == code, said
    assert words in re.sub(r"[│\s]+", " ", said)


def test_a_sheet_without_pictures_is_refused(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log = tmp_path / "moved.jsonl"
    log.write_text(painted[0].read_text())
    code, said = run("report", log, "--out", tmp_path / "sheet.png")
    assert code == 1
    assert "moved.jsonl.crops does not lie beside the log" in said


def test_report_says_how_to_log_pictures(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(re.sub('"crop": "[^"]*"', '"crop": null', painted[0].read_text()))
    code, said = run("report", log, "--out", tmp_path / "page.html")
    assert (code, "log_crops=True" in said) == (0, True), said
    code, said = run("report", painted[0], "--out", tmp_path / "page.html")
    assert (code, "log_crops" in said) == (0, False), said


def test_what_the_system_refuses_has_no_number(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, picture, _ = painted
    for arguments in (
        ("report", tmp_path / "none.jsonl"),
        ("report", tmp_path),
        ("replay", tmp_path / "none.jsonl", picture, "--line", 1),
        ("replay", tmp_path, picture, "--line", 1),
        ("replay", log, tmp_path / "none.png", "--line", 1),
        ("replay", log, tmp_path, "--line", 1),
        ("pool", tmp_path / "none"),
        ("preview", tmp_path / "none", "--format", "yolo"),
        ("bench", "--config", tmp_path / "none.json"),
        ("bench", "--config", tmp_path),
        ("study", tmp_path / "none.toml"),
        ("study", tmp_path),
        ("fit", tmp_path / "none", "--format", "yolo", "--out", tmp_path / "out"),
    ):
        code, said = run(*arguments)
        assert code in (1, 2), said
        assert "Errno" not in said
        assert "rror" in said


def test_replay_draws_the_edit_again(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, picture, found = painted
    out, plain = tmp_path / "again.png", tmp_path / "plain.png"
    code, said = run("replay", log, picture, "--line", 1, "--out", out, "--picture", plain)
    assert code == 0, said
    assert np.array_equal(np.asarray(Image.open(plain)), found)
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[0] > IMAGE.shape[0]
    record = at(log, 1)
    expected = drawing.before_after(IMAGE, found, [record.edit.box], ["cube"], [record.edit.prompt])
    assert np.array_equal(sheet, expected)


def test_replay_needs_no_server_that_is_gone(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, picture, _ = painted
    copy = tmp_path / "log.jsonl"
    values = json.loads(log.read_text().splitlines()[0])
    values["model"] = {**values["model"], "serving": "shared", "address": str(tmp_path / "gone")}
    copy.write_text(json.dumps(values) + "\n")
    pixels = []
    for source in (log, copy):
        code, said = run("replay", source, picture, "--line", 1, "--out", tmp_path / "again.png")
        assert code == 0, said
        pixels.append(np.asarray(Image.open(tmp_path / "again.png")))
    assert np.array_equal(*pixels)


def test_replay_says_when_nothing_is_painted(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, picture, _ = painted
    copy = tmp_path / "log.jsonl"
    values = json.loads(log.read_text().splitlines()[0])
    values["edit"] = {**values["edit"], "box": [900, 900, 950, 950], "window": [880, 880, 970, 970]}
    copy.write_text(json.dumps(values) + "\n")
    code, said = run("replay", copy, picture, "--line", 1, "--out", tmp_path / "again.png")
    assert code == 0
    assert "nothing is painted: outside the image" in said


def test_replay_says_what_is_wrong(painted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    log, picture, _ = painted
    out = ("--out", tmp_path / "again.png")
    code, said = run("replay", log, picture, "--line", 2, *out)
    assert code == 1
    assert digest(IMAGE) in said
    assert at(log, 2).image in said
    assert "resized" in said
    assert "The log has no name for it: give log_key=..." in said
    code, said = run("replay", log, picture, "--line", 3, *out)
    assert (code, "2 lines" in said) == (1, True), said
    code, said = run("replay", log, tmp_path / "none.png", "--line", 1, *out)
    assert (code, "none.png" in said) == (1, True), said
    code, said = run("replay", tmp_path / "none.jsonl", picture, "--line", 1, *out)
    assert (code, "none.jsonl" in said) == (1, True), said
    code, said = run("replay", log, picture, "--line", 0, *out)
    assert code == 2, said
    code, said = run("replay", log, picture, "--line", 1, "--picture", tmp_path / "plain.jpg", *out)
    assert code == 2, said
    assert not (tmp_path / "again.png").exists()


def test_replay_of_a_swap_calls_the_old_picture_by_its_old_name(
    painted: tuple[Path, Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, picture, _ = painted
    values = json.loads(log.read_text().splitlines()[0])
    values["edit"] = {**values["edit"], "label": "cube", "new_label": "cone", "prompt": "a cone"}
    (tmp_path / "log.jsonl").write_text(json.dumps(values) + "\n")
    drawn = []
    monkeypatch.setattr(drawing, "before_after", lambda *given: drawn.append(given[2:]) or given[0])
    code, said = run("replay", tmp_path / "log.jsonl", picture, "--line", 1, "--out", tmp_path / "again.png")
    assert code == 0, said
    assert drawn == [([tuple(values["edit"]["box"])], ["cube"], ["cone: a cone"])]


@pytest.mark.parametrize(
    "damage",
    [
        {"seed": -1},
        {"recipe": {"shape": "star"}},
        {"recipe": {"nonsense": 1}},
        {"model": {"id": 7}},
        {"edit": {"window": [0, 0, 5, 5]}},
        {"edit": {"mask_runs": [1, 2]}},
        {"scores": "high"},
    ],
)
def test_replay_of_a_damaged_record_is_one_line(
    painted: tuple[Path, Path, np.ndarray], tmp_path: Path, damage: dict[str, Any]
) -> None:
    log, picture, _ = painted
    values = json.loads(log.read_text().splitlines()[0])
    for name, value in damage.items():
        values[name] = {**values[name], **value} if name == "edit" else value
    (tmp_path / "log.jsonl").write_text(json.dumps(values) + "\n")
    code, said = run("replay", tmp_path / "log.jsonl", picture, "--line", 1, "--out", tmp_path / "again.png")
    assert code == 1, said
    assert "Error:" in said
    assert not (tmp_path / "again.png").exists()
