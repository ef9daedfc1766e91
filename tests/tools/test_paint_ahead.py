"""paint-ahead: what it fills, training finds; it goes on after a kill; and what is random before it, it refuses."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from commands import run
from painters import Painter
from PIL import Image

from inpaint_transform import BBoxInpaint
from inpaint_transform.tools import paint_ahead as ahead

pytest_plugins = ["commands"]

IMAGE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
SAMPLE = ahead.Sample(IMAGE, [(20, 30, 80, 80), (120, 20, 180, 90), (5, 5, 15, 15)], ["cat", "dog", "cat"])


def command(*more: object) -> tuple[int, str]:
    options = ["--boxes", "labels", "--format", "yolo", "--names", "cone,cube", "--steps", 2, "--pool", "pool"]
    return run("paint-ahead", "images", *options, *more)


def hits(transform: A.Compose, epochs: int = 6) -> set[str]:
    kinds = set()
    for picture in sorted(Path("images").glob("*.png")):
        rows = [line.split() for line in Path("labels", f"{picture.stem}.txt").read_text().splitlines()]
        image = np.array(Image.open(picture).convert("RGB"))
        for _ in range(epochs):
            sample = transform(
                image=image,
                bboxes=[list(map(float, row[1:])) for row in rows],
                labels=[["cone", "cube"][int(row[0])] for row in rows],
            )
            kinds |= {edit["reuse"] for edit in sample["inpainted"]}
    return kinds


def test_training_finds_what_the_command_has_painted(dataset: Path, model: str) -> None:
    code, said = command("--model", model, "--variants", 2)
    assert code == 0, said
    assert re.search(r"\d+ looks painted, 0 rejected, 0 were there", said)
    assert Path("paint-ahead.png").exists()
    inpaint = BBoxInpaint(
        {"id": model, "steps": 2},
        num_boxes=2,
        p=1.0,
        edits_key="inpainted",
        reuse={"path": "pool", "variants": 2, "frozen": True},
    )
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("yolo", label_fields=["labels"]), seed=0)
    assert hits(transform) == {"hit"}
    again = command("--model", model, "--variants", 2)[1]
    assert re.search(r"^0 looks painted, 0 rejected, [1-9]", again, re.MULTILINE)
    more = command("--model", model, "--variants", 3)[1]
    assert re.search(r"^[1-9]\d* looks painted", more, re.MULTILINE)


def test_a_saved_pipeline_says_what_is_painted(dataset: Path, model: str) -> None:
    saved = A.Compose(
        [
            A.Resize(200, 160),
            BBoxInpaint(
                {"id": model, "steps": 2}, prompts={0: "a red cone", 1: "a cube"}, class_names=["cone", "cube"]
            ),
            A.HorizontalFlip(),
        ],
        bbox_params=A.BboxParams("yolo", label_fields=["labels"]),
    )
    A.save(saved, "pipeline.json")
    code, said = command("--transform", "pipeline.json", "--variants", 1, "--budget", "cone=2")
    assert code == 0, said
    code, said = run("pool", "pool")
    assert "0: 2 accepted" in said
    assert "a red cone" in Path("pool.html").read_text()
    assert "cube" not in said.replace("pool", "")


def test_a_kill_loses_no_look_that_was_painted(dataset: Path, model: str) -> None:
    options = ["paint-ahead", "images", "--boxes", "labels", "--format", "yolo", "--names", "cone,cube"]
    options += ["--steps", "40", "--pool", "pool", "--model", model, "--variants", "40"]
    process = subprocess.Popen([sys.executable, "-m", "inpaint_transform", *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    count = 0
    while not count and time.monotonic() < deadline:
        time.sleep(0.2)
        if Path("pool/data.mdb").exists():
            found = re.search(r"^(\d+) looks", run("pool", "pool")[1], re.MULTILINE)
            count = int(found[1]) if found else 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert count
    found = re.search(r"^(\d+) looks", run("pool", "pool")[1], re.MULTILINE)
    assert found
    assert int(found[1]) >= count


def test_nothing_random_stands_before(tmp_path: Path, painter: Painter) -> None:
    before = A.Compose(
        [A.RandomBrightnessContrast(p=1.0)], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"])
    )
    with pytest.raises(ValueError, match="random.*place BBoxInpaint before"):
        ahead.prepared(SAMPLE, before)
    flip = A.Compose([A.HorizontalFlip(p=1.0)], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    found = ahead.prepared(SAMPLE, flip)
    assert found.boxes[0] == (160, 30, 220, 80)
    assert ahead.prepared(SAMPLE, None) is SAMPLE


def test_every_look_is_painted_once_and_budgets_are_kept(tmp_path: Path, painter: Painter) -> None:
    transform = ahead.with_pool(BBoxInpaint(prompts="a {label}", p=0.1), tmp_path / "pool", 3)
    steps: list[int] = []
    done = ahead.paint_ahead(transform, [SAMPLE], {"dog": 0}, step=steps.append)
    assert (dict(done.accepted), done.there) == ({"cat": 3}, 0)
    assert sum(steps) == 9
    done = ahead.paint_ahead(transform, [SAMPLE])
    assert (dict(done.accepted), done.there) == ({"dog": 3}, 3)
    assert sum(map(len, painter.calls)) == 6
    assert len({request.seed for call in painter.calls for request in call}) == 6


def test_labels_are_those_of_training() -> None:
    assert ahead.in_training_terms(["cone", "x"], None) == ["cone", "x"]
    assert ahead.in_training_terms(["cone", "x"], ["cube", "cone"]) == [1, "x"]
    assert ahead.in_training_terms(["cone", "cube"], {"7": "cone", 2: "cube"}) == [7, 2]


def test_a_file_without_the_transform_is_named(tmp_path: Path) -> None:
    A.save(A.Compose([A.HorizontalFlip()]), str(tmp_path / "t.json"))
    with pytest.raises(ValueError, match="has 0 BBoxInpaint"):
        ahead.load_pipeline(tmp_path / "t.json")
