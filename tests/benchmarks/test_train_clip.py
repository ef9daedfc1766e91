"""The training of the embedded CLIP, on pictures made up here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.tiny import data, train_clip
from inpaint_transform import tiny
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.protocol import Question
from inpaint_transform.engine.clip_scores import Clip

# Two cells and two cones in every picture.
BOXES: list[Box] = [(10, 10, 40, 45), (60, 20, 95, 50)]


def photos(labels: tuple[str, str]) -> list[data.Photo]:
    rng = np.random.default_rng(0)
    return [data.Photo(rng.integers(0, 256, (120, 160, 3), np.uint8), BOXES, list(labels)) for _ in range(3)]


def test_background_boxes_have_an_objects_size_and_show_none() -> None:
    rng = np.random.default_rng(0)
    known = photos(("RBC", "RBC"))
    wanted = [sides(box) for box in BOXES]
    for _ in range(100):
        index, (x0, y0, x1, y1) = train_clip.draw_background(known, wanted, rng)
        assert (x1 - x0, y1 - y0) in wanted
        objects = np.zeros((120, 160), bool)
        for left, top, right, bottom in known[index].boxes:
            objects[top:bottom, left:right] = True
        assert 0 <= x0 < x1 <= 160
        assert 0 <= y0 < y1 <= 120
        assert objects[y0:y1, x0:x1].mean() <= train_clip.MOST_COVERED


def test_every_class_is_drawn_with_its_box_in_the_crop() -> None:
    draws = train_clip.Draws([*photos(("RBC", "WBC")), *photos(("cone", "cube"))])
    assert draws.labels == ["RBC", "WBC", "cone", "cube", "background"]
    rng = np.random.default_rng(0)
    for label in draws.labels:
        for _ in range(10):
            image, (x0, y0, x1, y1) = draws.draw(label, rng)
            assert image.shape == (64, 64, 3)
            # The longer side is the window's side over the context, which the border of the picture may shrink.
            assert max(x1 - x0, y1 - y0) >= 64 // train_clip.CONTEXT[1]
            assert 0 <= x0 < x1 <= 64
            assert 0 <= y0 < y1 <= 64


def test_bent_pictures_keep_their_colours_and_lose_their_shape() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = (200, 150, 0)
    bent = train_clip.bend(picture, np.random.default_rng(0))
    assert (np.diff(bent[:, :, 0].astype(int), axis=0) != 0).mean() > 0.01
    assert set(bent[:, :, 2].flat) == {0}
    assert bent.max() <= 200


@pytest.mark.skipif(not (tiny.CHECKPOINT / "model_index.json").exists(), reason="the embedded checkpoint is not here")
@pytest.mark.slow
def test_a_short_training_gives_a_model_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, photo in enumerate(photos(("RBC", "cone"))):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), photo.image)
        place = {"file_name": f"{number}.png", "split": "val" if number == 2 else "train"}
        images.append({"id": number, "height": 120, "width": 160, **place})
        for category, (x0, y0, x1, y1) in enumerate(photo.boxes):
            annotations.append({"image_id": number, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    categories = [{"id": 0, "name": "RBC"}, {"id": 1, "name": "cone"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(coco))

    def train(steps: int) -> tuple[float, ...]:
        out = tmp_path / "out"
        places = ["--data", folder, "--work", tmp_path / "work", "--out", out]
        amounts = ["--crops", 64, "--steps", steps, "--unseen", 8]
        monkeypatch.setattr(sys, "argv", ["train_clip", *map(str, [*places, *amounts])])
        train_clip.main()
        model = Clip(str(out), torch.device("cpu"), torch.float32)
        return model.answers(torch.zeros((1, 3, 64, 64), dtype=torch.uint8), [Question((0, 0, 64, 64), ("a", "b"))])[0]

    first = train(2)
    assert train(2) == first  # nothing left to do
    assert train(3) != first  # resumed
