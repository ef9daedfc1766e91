"""Plain pictures and patches to feed a training with."""

from __future__ import annotations

import numpy as np

from benchmarks.study import feed
from benchmarks.study.patches import Patch
from benchmarks.study.sets import Seen

BOX = (10, 20, 40, 50)
HEIGHT, WIDTH = 96, 128


def picture(value: int, boxes: list[tuple[int, int, int, int]]) -> Seen:
    return Seen(
        np.full((HEIGHT, WIDTH, 3), value, np.uint8), np.array(boxes, float).reshape(-1, 4), np.zeros(len(boxes), int)
    )


def patch(row: int, slot: int, box: tuple[int, int, int, int], value: int = 255, kind: int = 0) -> Patch:
    x0, y0, x1, y1 = box
    shape = (y1 - y0, x1 - x0)
    return Patch(
        row,
        slot,
        kind,
        np.array(box, float),
        (x0, y0),
        np.full((*shape, 3), value, np.uint8),
        np.ones(shape, bool),
        True,
    )


def fed(seen: list[Seen], layer: feed.Layer | None, level: str = "none", seed: int = 0) -> feed.Feed:
    return feed.Feed(seen, layer, level, np.ones(len(seen)), seed)
