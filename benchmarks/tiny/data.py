"""The data of the embedded models: pictures with COCO boxes, and what their classes are called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.core import boxes
from inpaint_transform.core.boxes import Box
from inpaint_transform.fit.pictures import Sample, read_picture

# Side of the crops that the embedded CLIP reads, in pixels.
SIZE = 64
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


def load(roots: Iterable[Path], splits: Iterable[str]) -> list[Photo]:
    """Read COCO-annotated pictures.

    Args:
        roots: Data set folders, each with ``coco.json`` (every image carries ``split``) and ``images/``.
        splits: Split names to keep, for instance ``["train"]``.

    Returns:
        The pictures that have at least one box.
    """
    photos = []
    for sample in samples(roots, splits):
        image = read_picture(sample.image)
        photos.append(Photo(image, list(sample.boxes), list(sample.labels)))
    return photos


def _entries(root: Path, splits: set[str]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[int, str]]]:
    """Each picture of some splits that has boxes: its entry, its annotations and the names of the categories."""
    coco = json.loads((root / "coco.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    annotations: dict[int, list[dict[str, Any]]] = {}
    for annotation in coco["annotations"]:
        annotations.setdefault(annotation["image_id"], []).append(annotation)
    for entry in coco["images"]:
        if entry["split"] in splits and entry["id"] in annotations:
            yield entry, annotations[entry["id"]], names


def samples(roots: Iterable[Path], splits: Iterable[str]) -> list[Sample]:
    """The same pictures as ``load`` gives, unread."""
    kept = set(splits)
    found = []
    for root in roots:
        for entry, rows, names in _entries(Path(root), kept):
            corners = [(x, y, x + w, y + h) for x, y, w, h in (row["bbox"] for row in rows)]
            found.append(
                Sample(
                    Path(root) / "images" / entry["file_name"],
                    tuple(boxes.from_pixels(corners, entry["height"], entry["width"])),
                    tuple(names[row["category_id"]] for row in rows),
                )
            )
    return found


class Crops:
    """Boxes that are large enough to be painted, by class: the number of the picture, and the box."""

    def __init__(self, photos: list[Photo]) -> None:
        self.photos = photos
        self.by_label: dict[str, list[tuple[int, Box]]] = {}
        for index, photo in enumerate(photos):
            for box, label in zip(photo.boxes, photo.labels, strict=True):
                if min(boxes.sides(box)) >= MIN_SIDE:
                    self.by_label.setdefault(label, []).append((index, box))
        self.labels = sorted(self.by_label)


def captions() -> dict[str, list[str]]:
    """All that is said of each class in training, the usual caption first."""
    return {
        label: [template.format(name) for name in names for template in TEMPLATES] for label, names in NAMES.items()
    }


def caption(label: str, rng: np.random.Generator) -> str:
    """A caption for a class: a random name in a random template."""
    said = captions()[label]
    return said[rng.integers(len(said))]
