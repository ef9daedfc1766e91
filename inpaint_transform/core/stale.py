"""Stale annotations: masks and keypoints inside a repainted box describe the object that was there before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from inpaint_transform.core.boxes import Box

# What was painted of an image: windows and their masks.
Painted = Sequence[tuple[Box, np.ndarray]]


def occupied(box: Box, masks: Iterable[np.ndarray], points: np.ndarray | None) -> bool:
    """Whether a box holds annotations that repainting it would make stale.

    Args:
        box: Pixel box.
        masks: ``(H, W)`` or ``(H, W, C)`` each; non-zero where there is something.
        points: Keypoints ``(N, >= 2)``, x and y in pixels first; or None.
    """
    x0, y0, x1, y1 = box
    if any(mask[y0:y1, x0:x1].any() for mask in masks):
        return True
    if points is None or not len(points):
        return False
    x, y = points[:, 0], points[:, 1]
    return bool(((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)).any())


def cleared(mask: np.ndarray, painted: Painted) -> np.ndarray:
    """A mask with zeros where the image was painted.

    Args:
        mask: ``(H, W)`` or ``(H, W, C)``; never written to.
        painted: What was painted.

    Returns:
        The same array where nothing changes.
    """
    result = mask
    for (x0, y0, x1, y1), region in painted:
        if mask[y0:y1, x0:x1][region].any():
            if result is mask:
                result = mask.copy()
            result[y0:y1, x0:x1][region] = 0
    return result


def still_true(points: np.ndarray, painted: Painted) -> np.ndarray:
    """Which keypoints lie where nothing was painted: ``(N,)`` bool.

    Args:
        points: ``(N, >= 2)``, x and y in pixels first.
        painted: What was painted.
    """
    kept = np.ones(len(points), bool)
    if not len(points):
        return kept
    for (x0, y0, x1, y1), region in painted:
        x, y = (np.floor(points[:, axis]).astype(int) for axis in (0, 1))
        inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
        kept[inside] &= ~region[y[inside] - y0, x[inside] - x0]
    return kept
