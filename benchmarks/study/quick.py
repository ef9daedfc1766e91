"""A set that is drawn: red discs, larger violet ones and small dots, so that the whole path can be tried anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAME = "drawn"
HEIGHT, WIDTH = 192, 256
SPLITS = {"train": 24, "val": 6, "test": 8}
# Half the side of an object in pixels, its colour, and how many a picture has at least and at most.
KINDS = {
    "RBC": (19, (215, 120, 120), (3, 5)),
    "WBC": (26, (120, 70, 170), (1, 1)),
    "Platelets": (10, (150, 90, 200), (0, 2)),
}


def draw(folder: Path, seed: int = 0) -> Path:
    """Write the set: pictures and ``coco.json``, as the sets of the study are.

    Args:
        folder: For the folder of the set.
        seed: Decides on every picture.

    Returns:
        The folder of the set.
    """
    root = folder / NAME
    (root / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for split, count in SPLITS.items():
        for _ in range(count):
            number = len(images) + 1
            picture, boxes = _picture(rng)
            entry = {"id": number, "file_name": f"{number:03d}.png", "width": WIDTH, "height": HEIGHT, "split": split}
            cv2.imwrite(str(root / "images" / entry["file_name"]), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            images.append(entry)
            for kind, (x, y, side) in boxes:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": list(KINDS).index(kind) + 1,
                        "bbox": [x, y, side, side],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(KINDS)]
    whole = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    (root / "coco.json").write_text(json.dumps(whole), "utf-8")
    return root


def _picture(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, tuple[int, int, int]]]]:
    picture = np.full((HEIGHT, WIDTH, 3), (230, 215, 215), np.uint8)
    taken = np.zeros((HEIGHT, WIDTH), bool)
    boxes: list[tuple[str, tuple[int, int, int]]] = []
    for kind, (radius, colour, (least, most)) in KINDS.items():
        for _ in range(int(rng.integers(least, most + 1))):
            size = radius + int(rng.integers(-2, 3))
            x, y = int(rng.integers(0, WIDTH - 2 * size)), int(rng.integers(0, HEIGHT - 2 * size))
            place = np.s_[y : y + 2 * size + 1, x : x + 2 * size + 1]
            if taken[place].any():
                continue
            taken[place] = True
            shade = tuple(int(level + rng.integers(-15, 16)) for level in colour)
            cv2.circle(picture, (x + size, y + size), size, shade, -1)
            boxes.append((kind, (x, y, 2 * size + 1)))
    noise = rng.integers(-8, 9, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), boxes
