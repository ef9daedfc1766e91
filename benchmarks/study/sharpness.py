"""Painted boxes made as sharp as real ones: does a detector care?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.fit.pictures import Sample, read_picture
from inpaint_transform.fit.sharpness import SAME_SIZE, sharpness

# Of the blur, in pixels, and of what an unsharp mask adds: more would be visible as such.
MAX_SIGMA, MAX_AMOUNT = 3.0, 4.0
HALVINGS = 8


class Matcher:
    """Knows how sharp real boxes of each class and size are: the variance of their Laplacian.

    Args:
        samples: The real pictures.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._known: dict[str, list[tuple[int, float]]] = {}
        for sample in samples:
            picture = read_picture(sample.image)
            for index in sample.usable():
                cut = _cut(picture, sample.boxes[index])
                self._known.setdefault(sample.labels[index], []).append((max(cut.shape[:2]), sharpness(cut)))

    def wanted(self, label: str, side: int) -> float:
        """The median of real boxes of a class about as large."""
        known = self._known[label]
        similar = [value for other, value in known if side / SAME_SIZE <= other <= side * SAME_SIZE]
        return float(np.median(similar or [value for _, value in known]))

    def match(self, edit: Edit, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """A painted window, blurred or sharpened inside its box until it is as sharp as real boxes are.

        Args:
            edit: What was painted.
            before: ``(h, w, 3)`` uint8, the window as it was.
            after: The same with the painted pixels.
        """
        x0, y0, x1, y1 = edit.box_in_window
        side = max(x1 - x0, y1 - y0)
        matched = matched_to(after, edit.box_in_window, self.wanted(str(edit.target), side))
        painted = np.zeros(before.shape[:2], bool)
        painted[y0:y1, x0:x1] = (after != before).any(axis=2)[y0:y1, x0:x1]
        return np.where(painted[..., None], matched, after)


def matched_to(picture: np.ndarray, box: Box, wanted: float) -> np.ndarray:
    """A picture, blurred or sharpened as a whole so that a box of it has the wanted sharpness, as nearly as may be."""
    blurs = sharpness(_cut(picture, box)) > wanted

    def changed(strength: float) -> np.ndarray:
        if blurs:
            return cv2.GaussianBlur(picture, (0, 0), max(strength, 1e-3))
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        return cv2.addWeighted(picture, 1 + strength, soft, -strength, 0)

    low, high = 0.0, MAX_SIGMA if blurs else MAX_AMOUNT
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_far = (sharpness(_cut(changed(middle), box)) < wanted) == blurs
        low, high = (low, middle) if too_far else (middle, high)
    return changed((low + high) / 2)


def _cut(picture: np.ndarray, box: Box) -> np.ndarray:
    return picture[box[1] : box[3], box[0] : box[2]]
