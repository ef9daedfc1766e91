"""Reused: hits, cold, looks, uses and ages from a log that a transform has written."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
from painters import Painter

from inpaint_transform import BBoxInpaint
from inpaint_transform.reports import report
from inpaint_transform.reports.log import read
from inpaint_transform.reports.reused import Reused

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)


def train(log: Path, epochs: int, **more) -> None:
    inpaint = BBoxInpaint(prompts="a thing", p=1.0, seed=1, log=log, **more)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    for epoch in range(epochs):
        inpaint.set_epoch(epoch)
        transform(image=IMAGE, bboxes=[[20, 30, 80, 80]], labels=["cat"])


def test_a_log_tells_of_its_looks(painter: Painter, tmp_path: Path) -> None:
    train(tmp_path / "log", 8, reuse={"variants": 2, "wait": True, "path": str(tmp_path / "pool"), "echo": 100})
    found = Reused()
    for _, record in read(tmp_path / "log"):
        found.add(record)
    assert found.kinds["painted"] == len(found.uses) <= 2
    assert found.kinds["hit"] == 8 - found.kinds["painted"]
    assert len(found.objects) == 1
    assert sum(found.uses.values()) == 8
    assert 0 < max(found.ages) <= 7
    first, second = found.words()
    assert first.startswith("Reuse: 8 edits drawn")
    assert "100% are in an image" in first
    assert "of 1 objects" in second
    summary = report.write(tmp_path / "log", tmp_path / "report.html")
    assert summary.reused.words() == [first, second]
    assert second in (tmp_path / "report.html").read_text()


def test_cold_edits_are_told_without_a_look(painter: Painter, tmp_path: Path) -> None:
    train(tmp_path / "log", 1, reuse={"path": str(tmp_path / "pool")})
    summary = report.write(tmp_path / "log", tmp_path / "report.html")
    assert summary.reused.words() == ["Reuse: 1 edits drawn (0 hit, 0 painted, 1 cold), of which 0% are in an image"]


def test_without_reuse_nothing_is_said(painter: Painter, tmp_path: Path) -> None:
    train(tmp_path / "log", 2)
    assert report.write(tmp_path / "log", tmp_path / "report.html").reused.words() == []
