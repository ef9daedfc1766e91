"""Training crops for the tiny model: annotated windows cut exactly as the transform cuts them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inpaint_transform.core import boxes, crops
from inpaint_transform.core.boxes import Box

SIZE = 64
CELL = 4
CONTEXT = (1.25, 2.5)
MIN_SIDE = 16

# What each class is called in training captions, the usual name first.
NAMES = {
    "RBC": ("red blood cell", "RBC", "erythrocyte"),
    "WBC": ("white blood cell", "WBC", "leukocyte"),
    "Platelets": ("platelet", "platelets", "thrombocyte"),
    "cone": ("cone", "yellow cone", "traffic cone"),
    "cube": ("cube", "blue cube", "inflatable cube"),
}
TEMPLATES = ("a photo of a {}", "a photo of {}", "a {}", "{}")
# How often the denoiser sees each class: what comes in many poses is learnt last.
SHARES = {"RBC": 1.0, "WBC": 1.0, "Platelets": 1.0, "cone": 3.0, "cube": 1.5}
# A cell has no upright position, a cone standing on a floor has.
TURNABLE = frozenset({"RBC", "WBC", "Platelets"})


@dataclass(frozen=True)
class Photo:
    """One annotated picture: RGB pixels ``(H, W, 3)`` uint8, pixel boxes and their class names."""

    image: np.ndarray
    boxes: list[Box]
    labels: list[str]


@dataclass(frozen=True)
class Example:
    """One training example: a working crop, the hole to paint (bool, aligned to latent cells) and its class."""

    image: np.ndarray
    mask: np.ndarray
    label: str


def load(roots: Iterable[Path], splits: Iterable[str]) -> list[Photo]:
    """Read COCO-annotated pictures.

    Args:
        roots: Data set folders, each with ``coco.json`` (every image carries ``split``) and ``images/``.
        splits: Split names to keep, for instance ``["train"]``.

    Returns:
        The pictures that have at least one box.
    """
    kept = set(splits)
    photos = []
    for root in roots:
        coco = json.loads((Path(root) / "coco.json").read_text())
        names = {category["id"]: category["name"] for category in coco["categories"]}
        annotations: dict[int, list[dict[str, Any]]] = {}
        for annotation in coco["annotations"]:
            annotations.setdefault(annotation["image_id"], []).append(annotation)
        for entry in coco["images"]:
            if entry["split"] not in kept or entry["id"] not in annotations:
                continue
            pixels = cv2.imread(str(Path(root) / "images" / entry["file_name"]))
            if pixels is None:
                raise FileNotFoundError(f"{root}: the picture images/{entry['file_name']} is missing or unreadable")
            image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            found = annotations[entry["id"]]
            corners = [(x, y, x + w, y + h) for x, y, w, h in (a["bbox"] for a in found)]
            photos.append(
                Photo(image, boxes.from_pixels(corners, *image.shape[:2]), [names[a["category_id"]] for a in found])
            )
    return photos


class Crops:
    """Draws training examples, every class equally often."""

    def __init__(self, photos: list[Photo]) -> None:
        self.photos = photos
        self.by_label: dict[str, list[tuple[int, Box]]] = {}
        for index, photo in enumerate(photos):
            for box, label in zip(photo.boxes, photo.labels, strict=True):
                if min(boxes.sides(box)) >= MIN_SIDE:
                    self.by_label.setdefault(label, []).append((index, box))
        self.labels = sorted(self.by_label)

    def draw(self, rng: np.random.Generator, label: str | None = None) -> Example:
        """Draw one augmented example (flips, quarter turns for cells, light and colour jitter)."""
        label = label or self.labels[rng.integers(len(self.labels))]
        candidates = self.by_label[label]
        index, box = candidates[rng.integers(len(candidates))]
        image, mask = cut(self.photos[index].image, box, rng.uniform(*CONTEXT))
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        if label in TURNABLE:
            turns = int(rng.integers(4))
            image, mask = np.rot90(image, turns), np.rot90(mask, turns)
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
        image = np.clip(image * gain + rng.uniform(-12, 12), 0, 255).astype(np.uint8)
        return Example(np.ascontiguousarray(image), np.ascontiguousarray(mask), label)


def cut(image: np.ndarray, box: Box, context: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut the working crop ``(64, 64, 3)`` around a box and the hole ``(64, 64)`` that the model is to paint."""
    height, width = image.shape[:2]
    window = crops.context_window(box, height, width, context)
    hole = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    hole[box[1] - window[1] : box[3] - window[1], box[0] - window[0] : box[2] - window[0]] = True
    return crops.crop(image, window, SIZE), crops.align_mask(crops.crop_mask(hole, SIZE), CELL)


def caption(label: str, rng: np.random.Generator) -> str:
    """A caption for a class: a random name in a random template."""
    names = NAMES[label]
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(names[rng.integers(len(names))])
