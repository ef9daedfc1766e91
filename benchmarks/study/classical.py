"""What is done to pictures anyway: nothing, a little, or all that is usual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

# A picture with its boxes and their classes; see ``sets.Seen``.
Example = tuple[np.ndarray, np.ndarray, np.ndarray]
Draw = Callable[[], Example]

GREY = (128, 128, 128)
MOSAIC_P = 0.3
# Of a box that a picture's edge has cut: what shows less is no object any more.
MIN_VISIBLE = 0.3


def nothing(example: Example, others: Draw, rng: np.random.Generator) -> Example:
    """The picture as it is."""
    del others, rng
    return example


def weak(example: Example, others: Draw, rng: np.random.Generator) -> Example:
    """Mirrored, moved a little, in slightly other light."""
    del others
    return _light(_moved(_mirrored(example, rng), rng, (0.95, 1.05), 0.05), rng, 0.1, 0.0)


def strong(example: Example, others: Draw, rng: np.random.Generator) -> Example:
    """Mirrored, moved, in another size and colour, three in ten as a mosaic of four pictures."""
    if rng.random() < MOSAIC_P:
        example = _mosaic([example, others(), others(), others()], rng)
    return _light(_moved(_mirrored(example, rng), rng, (0.75, 1.33), 0.15), rng, 0.25, 0.08)


LEVELS: dict[str, Callable[[Example, Draw, np.random.Generator], Example]] = {
    "none": nothing,
    "weak": weak,
    "strong": strong,
}


def _mirrored(example: Example, rng: np.random.Generator) -> Example:
    pixels, boxes, classes = example
    if rng.random() >= 0.5:
        return example
    width = pixels.shape[1]
    mirrored = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    return np.ascontiguousarray(pixels[:, ::-1]), mirrored, classes


def _moved(example: Example, rng: np.random.Generator, scales: tuple[float, float], most: float) -> Example:
    """Scaled about its middle and moved by at most a share of its sides."""
    pixels, boxes, classes = example
    height, width = pixels.shape[:2]
    scale = float(np.exp(rng.uniform(*np.log(scales))))
    right, down = rng.uniform(-most, most, 2) * (width, height) + (1 - scale) / 2 * np.array([width, height])
    matrix = np.array([[scale, 0, right], [0, scale, down]])
    moved = cv2.warpAffine(pixels, matrix, (width, height), borderValue=GREY)
    return _visible(moved, boxes * scale + np.array([right, down, right, down]), classes)


def _light(example: Example, rng: np.random.Generator, most: float, colour: float) -> Example:
    pixels, boxes, classes = example
    gain = rng.uniform(1 - most, 1 + most) * rng.uniform(1 - colour, 1 + colour, 3)
    contrast = rng.uniform(1 - most, 1 + most)
    levels = (np.arange(256)[:, None] - 128) * contrast + 128
    table = np.clip(np.rint(levels * gain), 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, table[None]), boxes, classes


def _mosaic(examples: list[Example], rng: np.random.Generator) -> Example:
    """Four pictures around a point, each at a size between half and whole and cut to its quarter."""
    height, width = examples[0][0].shape[:2]
    x, y = (int(side * rng.uniform(0.35, 0.65)) for side in (width, height))
    canvas = np.empty_like(examples[0][0])
    boxes, classes = [], []
    quarters = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    for (pixels, corners, kinds), (x0, y0, x1, y1) in zip(examples, quarters, strict=True):
        least = max((x1 - x0) / width, (y1 - y0) / height)
        scale = rng.uniform(min(least, 1.0), 1.0)
        # Which part of the picture the quarter shows.
        left, top = (
            -rng.uniform(0, max(side * scale - room, 0)) for side, room in ((width, x1 - x0), (height, y1 - y0))
        )
        matrix = np.array([[scale, 0, left], [0, scale, top]])
        part = cv2.warpAffine(pixels, matrix, (x1 - x0, y1 - y0), borderValue=GREY)
        canvas[y0:y1, x0:x1] = part
        _, seen, known = _visible(part, corners * scale + np.array([left, top, left, top]), kinds)
        boxes.append(seen + np.array([x0, y0, x0, y0]))
        classes.append(known)
    return canvas, np.concatenate(boxes), np.concatenate(classes)


def _visible(pixels: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> Example:
    """Boxes cut at the picture's edge, without those of which too little shows."""
    height, width = pixels.shape[:2]
    cut = np.clip(boxes, 0, np.array([width, height, width, height]))
    area = _area(boxes)
    kept: Any = _area(cut) >= MIN_VISIBLE * np.maximum(area, 1e-6)
    return pixels, cut[kept], classes[kept]


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
