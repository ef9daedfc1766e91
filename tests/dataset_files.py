"""What the tests of data sets share: small pictures, label files in each format, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import Annotation, BoxFormat
from inpaint_transform.datasets.reading import find

HEIGHT, WIDTH = 60, 80
# A box of every format's files below: (16, 12, 48, 36) in pixels.
ROW = "0 0.4 0.4 0.4 0.4"
CORNERS = (16, 12, 48, 36)


def picture(path: Path, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    """A text file in folders that need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def yolo(images: Path, labels: Path, *names: str, row: str = ROW) -> None:
    """Pictures with one box each."""
    for seed, name in enumerate(names):
        picture(images / f"{name}.png", seed)
        text(labels / f"{name}.txt", f"{row}\n")


def voc(images: Path, boxes: Path, *names: str) -> None:
    """Pictures with one box each."""
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), CORNERS, strict=True))
    for seed, name in enumerate(names):
        picture(images / f"{name}.png", seed)
        content = f"<annotation><object><name>cone</name><bndbox>{corners}</bndbox></object></annotation>"
        text(boxes / f"{name}.xml", content)


def coco(
    images: Sequence[Any],
    annotations: Iterable[Any],
    categories: Sequence[tuple[Any, str]] = ((1, "cone"), (2, "cube")),
) -> str:
    """A COCO file from (id, file name) and (image id, category id, bbox, more fields)."""
    rows = [{"id": key, "file_name": name} for key, name in images]
    boxes = [
        {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **dict(*more)}
        for number, (image, category, bbox, *more) in enumerate(annotations)
    ]
    return json.dumps(
        {"images": rows, "annotations": boxes, "categories": [{"id": key, "name": name} for key, name in categories]}
    )


def read_all(
    source: Path, box_format: str, balance: BalanceSheet | None = None, **options: Any
) -> tuple[dict[str, tuple[str, Annotation]], list[Problem]]:
    """What is read: ``split/name`` to the picture's split and annotation, and the problems."""
    found = find(source, BoxFormat(box_format), **options)
    annotations, problems = {}, []
    for item in found.read(balance):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            place = found.places[item.image]
            annotations[f"{place.split}/{place.name}"] = (place.split, item)
    return annotations, problems
