"""What the tests of gates judge: a grey window whose box was painted bright."""

from __future__ import annotations

from typing import Any

import numpy as np

from inpaint_transform.gates import Candidate

SIDE = 40
BOX = (10, 10, 30, 30)


def window(level: int = 90) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def painted(box: tuple[int, int, int, int] = BOX, level: int = 200) -> np.ndarray:
    image = window()
    image[box[1] : box[3], box[0] : box[2]] = level
    return image


def candidate(after: np.ndarray | None = None, **fields: Any) -> Candidate:
    known = {"label": "car", "noun": "car", "other_nouns": ("bus", "tram")}
    return Candidate(window(), painted() if after is None else after, BOX, **{**known, **fields})
