"""Edits in the sample: through Compose, workers and collate, with and without a painting, and drawn."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from painters import Painter
from torch.utils.data import DataLoader, Dataset, default_collate

from inpaint_transform import BBoxInpaint, visualize
from inpaint_transform.faces.edits import Edits

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOXES = [[20, 30, 80, 80], [100, 20, 140, 90]]


def compose(*after, p: float = 1.0, **more) -> A.Compose:
    inpaint = BBoxInpaint(prompts="a thing", num_boxes=2, seed=3, edits_key="inpainted", p=p, **more)
    return A.Compose([inpaint, *after], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))


def call(transform: A.Compose) -> dict:
    return transform(image=IMAGE, bboxes=BOXES, labels=["cat", "dog"])


class Pictures(Dataset):
    def __init__(self, transform: A.Compose) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        image = IMAGE.copy()
        image[0, 0] = index
        sample = self.transform(image=image, bboxes=BOXES, labels=["cat", "dog"])
        return {"image": torch.from_numpy(sample["image"]), "inpainted": sample["inpainted"]}


def test_a_sample_says_what_was_painted(painter: Painter) -> None:
    sample = call(compose(A.HorizontalFlip(p=1.0), A.RandomBrightnessContrast(p=1.0), relabel={"cat": "lion"}))
    first, second = sample["inpainted"]
    assert (first["index"], first["label"], first["target"]) == (0, "cat", "lion")
    assert (second["index"], second["accepted"], second["reason"]) == (1, True, None)
    assert (first["look"], first["reuse"]) == (None, None)
    assert np.array_equal(first["before"], IMAGE[30:80, 20:80])
    assert max(second["before"].shape[:2]) <= 96
    assert sample["labels"] == ["lion", "dog"]


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_a_sample_without_edits_says_so(painter: Painter, p: float) -> None:
    found = [call(compose(p=p)).get("inpainted") for _ in range(3)]
    assert all(isinstance(edits, Edits) for edits in found)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("key", ["file", "meta", "image", "bboxes"])
def test_what_a_sample_has_already_is_not_overwritten(painter: Painter, key: str, p: float) -> None:
    inpaint = BBoxInpaint(prompts="a thing", edits_key=key, p=p)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    with pytest.raises(ValueError, match=f"edits_key='{key}': the sample has that already, and it is a .*; give "):
        transform(image=IMAGE, bboxes=BOXES, labels=["cat", "dog"], file="a.jpg", meta={"id": 3})


def test_a_second_transform_adds_its_edits(painter: Painter) -> None:
    paint = [BBoxInpaint(prompts="a thing", edits_key="inpainted", p=1.0) for _ in range(2)]
    transform = A.Compose(paint, bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    assert len(call(transform)["inpainted"]) == 2


def test_without_the_key_nothing_is_added(painter: Painter) -> None:
    inpaint = BBoxInpaint(prompts="a thing", p=1.0)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    assert sorted(call(transform)) == ["bboxes", "image", "labels"]


def test_cold_and_hit_are_told(painter: Painter, tmp_path: Path) -> None:
    transform = compose(reuse={"variants": 1, "path": str(tmp_path / "pool"), "wait": True})
    kinds = [[edit["reuse"] for edit in call(transform)["inpainted"]] for _ in range(2)]
    assert kinds == [["painted", "painted"], ["hit", "hit"]]
    cold = compose(reuse={"variants": 1, "path": str(tmp_path / "pool"), "frozen": True}, strength=0.5)
    sample = call(cold)
    assert [(edit["reuse"], edit["accepted"], edit["reason"]) for edit in sample["inpainted"]] == [
        ("cold", False, "cold")
    ] * 2
    assert np.array_equal(sample["image"], IMAGE)


def test_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from painters import hand_in

    from inpaint_transform import InpaintError

    class Broken(Painter):
        def paint(self, requests):
            raise InpaintError("no")

    hand_in(monkeypatch, Broken())
    with pytest.warns(RuntimeWarning, match="painting failed"):
        sample = call(compose(on_error="skip"))
    assert {edit["reason"] for edit in sample["inpainted"]} == {"error"}


@pytest.mark.parametrize("workers", [0, 2])
def test_they_go_through_the_default_collate(painter: Painter, workers: int) -> None:
    loader = DataLoader(
        Pictures(compose(p=0.5)),
        batch_size=3,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    batches = list(loader)
    assert [len(batch["inpainted"]) for batch in batches] == [3, 3]
    counts = {len(edits) for batch in batches for edits in batch["inpainted"]}
    assert counts == {0, 2}
    assert all(batch["image"].shape == (3, 120, 200, 3) for batch in batches)


def test_collate_keeps_each_samples_own() -> None:
    assert default_collate([Edits([{"index": None}]), Edits()]) == [[{"index": None}], []]


def test_they_are_drawn_beside_the_picture(painter: Painter) -> None:
    sample = call(compose())
    plain = visualize({name: value for name, value in sample.items() if name != "inpainted"})
    drawn = visualize(sample)
    assert drawn.width > plain.width
    assert visualize({**sample, "inpainted": Edits()}).size == plain.size
    # A filter of boxes may have moved indices beyond what is left.
    assert visualize({**sample, "bboxes": [], "labels": []}).size == plain.size
