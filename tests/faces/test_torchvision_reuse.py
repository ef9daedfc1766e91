"""Reuse behind the torchvision face and after collating: the same pool, the same looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painters import Painter

pytest.importorskip("vision")

from torch.utils.data import default_collate
from torchvision import tv_tensors

from inpaint_transform.batch import BatchInpaint
from inpaint_transform.torchvision import BBoxInpaint

IMAGE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 120, 200), np.uint8))
BOXES = [[20, 30, 80, 80], [100, 20, 140, 90]]


def make(path: Path, **more: Any) -> BBoxInpaint:
    reuse = {"variants": 2, "path": str(path), **more.pop("reuse", {})}
    return BBoxInpaint(prompts="a thing", num_boxes=2, p=1.0, edits_key="inpainted", reuse=reuse, **more)


def sample() -> tuple[Any, dict[str, Any]]:
    boxes = tv_tensors.BoundingBoxes(BOXES, format="XYXY", canvas_size=(120, 200))
    return tv_tensors.Image(IMAGE), {"boxes": boxes, "labels": torch.tensor([1, 2])}


def until_full(transform: BBoxInpaint) -> None:
    """Draws until nothing is cold any more."""
    torch.manual_seed(0)
    quiet = 0
    for _ in range(400):
        kinds = {edit["reuse"] for edit in transform(*sample())[1]["inpainted"]}
        transform.editor.pool.flush()
        quiet = quiet + 1 if kinds == {"hit"} else 0
        if quiet == 20:
            return
    raise AssertionError("still cold")


def test_cold_then_hits_and_frozen_gives_the_same_pixels(painter: Painter, tmp_path: Path) -> None:
    transform = make(tmp_path / "pool")
    image, target = transform(*sample())
    assert torch.equal(image, IMAGE)
    assert [edit["reuse"] for edit in target["inpainted"]] == ["cold", "cold"]
    until_full(transform)
    found = []
    for _ in range(2):
        frozen = make(tmp_path / "pool", reuse={"frozen": True}, seed=4)
        runs = []
        for epoch in range(4):
            frozen.set_epoch(epoch)
            image, target = frozen(*sample())
            assert not torch.equal(image, IMAGE)
            runs.append(image)
        found.append(torch.stack(runs))
    assert torch.equal(*found)
    assert not painter.calls


def test_edits_come_in_the_samples_dict_and_are_collated(painter: Painter, tmp_path: Path) -> None:
    transform = make(tmp_path / "pool", reuse={"wait": True})
    _, target = transform(*sample())
    batch = default_collate([{"inpainted": target["inpainted"]}, {"inpainted": transform(*sample())[1]["inpainted"]}])
    assert [len(edits) for edits in batch["inpainted"]] == [2, 2]
    with pytest.raises(ValueError, match="needs a dict"):
        transform(tv_tensors.Image(IMAGE))


def test_a_swap_changes_the_label_with_the_look_and_never_before(painter: Painter, tmp_path: Path) -> None:
    transform = make(tmp_path / "pool", relabel={1: 7})
    _, target = transform(*sample())
    assert target["labels"].tolist() == [1, 2]
    until_full(transform)
    _, target = transform(*sample())
    assert target["labels"].tolist() == [7, 2]


def test_batches_take_looks_from_the_same_pool(painter: Painter, tmp_path: Path) -> None:
    transform = make(tmp_path / "pool")
    until_full(transform)
    paint = BatchInpaint(transform)
    boxes = torch.tensor(BOXES, dtype=torch.float32)
    images = torch.stack([IMAGE, IMAGE])
    before = transform.stats()["reuse"]["hit"]
    painted = paint(images, [boxes, boxes], [torch.tensor([1, 2])] * 2)
    assert (painted != images).flatten(1).any(dim=1).all()
    assert transform.stats()["reuse"]["hit"] == before + 4
    assert not painter.calls
