"""An export whose source changes between two runs is refused, and one bad picture stops nothing."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import ROW, picture, text, yolo
from PIL import Image

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.datasets import export as module
from inpaint_transform.datasets.export import Exported, export
from inpaint_transform.datasets.images import Pictures


class Painter:
    """Paints every crop in one colour, and counts how often it is asked, and by how many threads at once."""

    size = 32

    def __init__(self) -> None:
        self.calls = 0
        self.inside = 0

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        self.calls += 1
        self.inside += 1
        assert self.inside == 1, "asked by two threads at once"
        found = [InpaintResult(np.full_like(request.image, 200)) for request in requests]
        self.inside -= 1
        return found

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    stand_in = Painter()
    monkeypatch.setattr(module, "load", lambda *_: stand_in)
    return stand_in


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "s"
    yolo(folder / "images" / "train", folder / "labels" / "train", "a", "b", "c")
    yolo(folder / "images" / "val", folder / "labels" / "val", "d")
    text(folder / "data.yaml", "names: [cone, cube]\n")
    return folder


def write(source: Path, target: Path, **options: Any) -> Exported:
    return export(source, target, "yolo", min_box_size=8, link=False, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".jsonl"
    }


def rename(source: Path, old: str, new: str) -> None:
    for place, suffix in (("images", "png"), ("labels", "txt")):
        (source / place / new).parent.mkdir(parents=True, exist_ok=True)
        (source / place / f"{old}.{suffix}").rename(source / place / f"{new}.{suffix}")


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another picture": (lambda s: picture(s / "images/train/a.png", 50), "train/a.png: the picture that it"),
    "the same pixels in another file": (
        lambda s: Image.open(s / "images/train/a.png").save(s / "images/train/a.png", compress_level=0),
        "train/a.png: the picture that it",
    ),
    "a box that moved": (lambda s: text(s / "labels/train/a.txt", "0 0.4 0.4 0.4 0.41\n"), "a.png: the labels that it"),
    "one box more": (lambda s: text(s / "labels/train/a.txt", f"{ROW}\n{ROW}\n"), "a.png: the labels that it"),
    "no boxes any more": (lambda s: (s / "labels/train/a.txt").unlink(), "train/a.png: the labels that it"),
    "another class": (lambda s: text(s / "labels/train/a.txt", ROW.replace("0", "1", 1)), "a.png: the labels that it"),
    "a class that is called otherwise": (lambda s: text(s / "data.yaml", "names: [hat, cube]"), "its classes are"),
    "classes in another order": (lambda s: text(s / "data.yaml", "names: [cube, cone]"), "its classes are"),
    "one class more": (lambda s: text(s / "data.yaml", "names: [cone, cube, hat]"), "its classes are"),
    "a picture that is gone": (lambda s: rename(s, "train/a", "../a"), "train/a.png: the picture or the boxes"),
    "a picture that is held out now": (
        lambda s: rename(s, "train/a", "val/a"),
        "train/a.png: the picture or the boxes",
    ),
    "a held-out picture that is not any more": (lambda s: rename(s, "val/d", "train/d"), "val/d.png: the picture or"),
    "a validation picture's boxes": (lambda s: text(s / "labels/val/d.txt", ""), "val/d.png: the labels that it"),
    "two pictures exchanged": (
        lambda s: (rename(s, "train/a", "x"), rename(s, "train/b", "train/a"), rename(s, "x", "train/b")),
        "the picture that it was made from",
    ),
    "a picture that cannot be read any more": (
        lambda s: text(s / "images/train/a.png", "none"),
        "train/a.png: the picture or the boxes",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("half", [True, False])
def test_a_source_that_has_changed_is_refused(
    source: Path, tmp_path: Path, painter: Painter, change: str, half: bool
) -> None:
    target = tmp_path / "out"
    write(source, target)
    if half:  # as after a run that was killed while it placed the originals
        lines = (target / "export.jsonl").read_bytes().splitlines(keepends=True)
        (target / "export.jsonl").write_bytes(b"".join(line for line in lines if b'"edits"' not in line))
    before = files(target)
    act, message = CHANGES[change]
    act(source)
    with pytest.raises(ValueError, match=message):
        write(source, target)
    assert files(target) == before


def test_a_picture_that_is_new_is_added(source: Path, tmp_path: Path, painter: Painter) -> None:
    write(source, tmp_path / "out")
    yolo(source / "images" / "train", source / "labels" / "train", "new")
    done = write(source, tmp_path / "out")
    assert done.pictures == {"train": 8, "val": 1}
    write(source, tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_every_picture_is_decoded_once(
    source: Path, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda content: decoded.append(1) or real(content))
    done = write(source, tmp_path / "out", copies=2, workers=3)
    assert done.pictures == {"train": 9, "val": 1}
    assert len(decoded) == 4


def test_copies_that_fit_no_memory_are_the_same(
    source: Path, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source, tmp_path / "kept", copies=2)
    monkeypatch.setattr(module, "Pictures", lambda: Pictures(max_bytes=0))
    write(source, tmp_path / "again", copies=2)
    assert files(tmp_path / "kept") == files(tmp_path / "again")


def test_the_manifest_has_every_original_and_the_balance_sheet(
    source: Path, tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    text(source / "labels" / "train" / "gone.txt", f"{ROW}\n")
    with caplog.at_level(logging.INFO):
        done = write(source, tmp_path / "out")
    records = {line.get("key"): line for line in map(json.loads, (tmp_path / "out" / "export.jsonl").open())}
    assert {key for key, line in records.items() if "original" in line} == {
        "train/a.png",
        "train/b.png",
        "train/c.png",
        "val/d.png",
    }
    assert records["balance"]["balance"] == done.balance.to_dict()
    assert done.balance.to_dict() == {
        "pictures": {"seen": 4, "used": 4, "left_out": {}},
        "entries": {"seen": 5, "used": 4, "left_out": {"without a picture": 1}},
        "boxes": {"seen": 5, "used": 4, "left_out": {"without a picture": 1}},
    }
    assert "images/train -> train: 3 pictures" in caplog.text
    assert "entries: 5 seen, 4 used, 1 left out (1 without a picture)" in caplog.text
    assert len(done.problems) == 1


def test_one_picture_that_cannot_be_placed_stops_no_other(
    source: Path, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.ExportJob._write_labels

    def write_labels(self: Any, split: str, picture: Any) -> Any:
        if picture.name.name.startswith("b"):
            picture = type(picture)(picture.name.with_name("b" * 260 + ".png"), *list(vars(picture).values())[1:])
        return real(self, split, picture)

    monkeypatch.setattr(module.ExportJob, "_write_labels", write_labels)
    done = write(source, tmp_path / "out")
    assert done.pictures == {"train": 4, "val": 1}
    assert "File name too long" in str(done.problems[0])
    assert done.balance.to_dict()["pictures"]["left_out"] == {"of an unusable name": 1}
    monkeypatch.undo()
    monkeypatch.setattr(module, "load", lambda *_: painter)
    assert write(source, tmp_path / "out").pictures == {"train": 6, "val": 1}


def test_pictures_that_vanish_meanwhile_are_named(
    source: Path, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(items: Any, **options: Any) -> Any:
        if options["desc"] == "originals":
            shutil.rmtree(source / "images" / "val")
        return items

    done = write(source, tmp_path / "out", progress=vanish)
    assert done.pictures == {"train": 6}
    assert "No such file" in str(done.problems[0])


def test_a_function_as_gate_and_prompts_by_label(source: Path, tmp_path: Path, painter: Painter) -> None:
    done = write(
        source,
        tmp_path / "out",
        gate=lambda original, painted, label, box: False,
        prompts={None: "a {label}", "cube": ["one", "two"]},
        retries=0,
    )
    assert (done.edits, done.accepted) == (3, 0)
    for wrong in ({"prompts": []}, {"prompts": {"cone": []}}, {"prompts": "a {colour}"}, {"workers": 0}, {"p": 2}):
        with pytest.raises(module.SettingsError):
            write(source, tmp_path / "wrong", **wrong)
