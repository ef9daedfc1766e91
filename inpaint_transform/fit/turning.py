"""Crops turned by any angle: an autoencoder has to know outlines in every position, upright or not."""

from __future__ import annotations

import cv2
import numpy as np

# How often a crop is turned; by how much it then grows or shrinks, and moves, over its side.
TURNED = 0.65
SCALE = (0.75, 1.35)
MOVED = 0.08


def turned(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop as it is, or turned, mirrored, larger or smaller, with its hole; beyond its edges it is mirrored.

    Args:
        crop: ``(size, size, 4)`` uint8: RGB, and the hole.
        rng: Source of the draws.
    """
    if rng.random() >= TURNED:
        return crop
    size = len(crop)
    middle = ((size - 1) / 2,) * 2
    matrix: np.ndarray = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), rng.uniform(*SCALE))
    matrix[:, 2] += rng.uniform(-MOVED, MOVED, 2) * size
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    image, hole = np.ascontiguousarray(crop[..., :3]), np.ascontiguousarray(crop[..., 3])
    image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    hole = cv2.warpAffine(hole, matrix, (size, size), flags=cv2.INTER_NEAREST)
    return np.dstack([image, hole])
