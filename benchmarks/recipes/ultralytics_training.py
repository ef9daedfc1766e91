"""Ultralytics' trainer through its Albumentations hook: ``python -m benchmarks.recipes.ultralytics_training``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import yaml
from PIL import Image
from ultralytics import YOLO

from benchmarks.recipes import cells
from inpaint_transform import BBoxInpaint


class SwapChannels(A.ImageOnlyTransform):
    """RGB to BGR, or back: Ultralytics augments what OpenCV has read, and models paint RGB."""

    def apply(self, img: np.ndarray, **_: Any) -> np.ndarray:
        """The same pixels with red and blue exchanged."""
        return np.ascontiguousarray(img[:, :, ::-1])


def augmentations(log: Path) -> list[A.BasicTransform]:
    """What goes into the trainer; it makes copies of its own, so the log is where their edits can be counted."""
    return [
        SwapChannels(p=1),
        BBoxInpaint("tiny", prompts="a {label}", class_names=cells.NAMES, p=0.5, log=log),
        SwapChannels(p=1),
    ]


def write(folder: Path) -> Path:
    """The pictures as a YOLO data set."""
    for place in ("images", "labels"):
        (folder / place).mkdir()
    for number, picture in enumerate(cells.pictures()):
        Image.fromarray(picture["image"]).save(folder / "images" / f"{number}.png")
        targets = cells.detr_targets(picture["bboxes"], picture["labels"])
        rows = zip(targets["class_labels"].tolist(), targets["boxes"].tolist(), strict=True)
        lines = [f"{label} {' '.join(map(str, box))}\n" for label, box in rows]
        (folder / "labels" / f"{number}.txt").write_text("".join(lines))
    data = {"path": str(folder), "train": "images", "val": "images", "names": dict(enumerate(cells.NAMES))}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return folder / "data.yaml"


def main() -> None:
    """Train for two epochs."""
    losses: list[float] = []
    model = YOLO("yolo26n.yaml")
    model.add_callback("on_train_batch_end", lambda trainer: losses.append(trainer.loss.item()))
    with tempfile.TemporaryDirectory() as folder:
        data, log = write(Path(folder)), Path(folder) / "edits.jsonl"
        paint = augmentations(log)
        model.train(data=data, augmentations=paint, imgsz=cells.SIZE, epochs=2, batch=2, workers=2, project=folder)
        painted = len(log.read_text("utf-8").splitlines())
    for loss in losses:
        print(f"loss {loss:.3f}")
    print(f"painted {painted} boxes")


if __name__ == "__main__":
    main()
