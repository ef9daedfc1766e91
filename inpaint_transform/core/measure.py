"""Measures of what painting changed: how much, and how well it fills the box."""

from __future__ import annotations

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.masks import bounds

# In grey levels, of the channel that changed most. An autoencoder alone is off by more than that in one pixel of
# twenty (the embedded one on unseen pictures: 2 to 6 %), and a red cell repainted as a red cell differs by little more.
CHANGED = 16
# Of the box area: that error sits in lone pixels along edges, a part of an object is larger.
SPECK = 0.01


def coverage(original: np.ndarray, painted: np.ndarray, box: Box) -> float:
    """How well what changed fills its box.

    The bounding rectangle of the changed pixels in the box is compared with the box. A pixel counts as changed when
    a channel differs by more than ``CHANGED`` grey levels, and a connected change when it covers more than ``SPECK``
    of the box. What was erased counts as changed too, so a small object in place of a large one goes unnoticed here;
    a detector notices. And where the new object looks like the old one, little has changed.

    Args:
        original: ``(h, w, 3)`` uint8, the window before painting.
        painted: ``(h, w, 3)`` uint8, the window after.
        box: The box in the window, not empty.

    Returns:
        Intersection over union of the box and that rectangle, in [0, 1]; 0 where nothing changed.

    Examples:
        >>> before = np.full((40, 40, 3), 90, np.uint8)
        >>> after = before.copy()
        >>> after[10:30, 10:20] = 200
        >>> coverage(before, after, (10, 10, 30, 30))
        0.5
    """
    x0, y0, x1, y1 = box
    change = cv2.absdiff(original[y0:y1, x0:x1], painted[y0:y1, x0:x1]).max(axis=2)
    changed = (change > CHANGED).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
    # The first row is the background.
    kept = [part for part in parts[1:] if part[cv2.CC_STAT_AREA] > SPECK * changed.size]
    if not kept:
        return 0.0
    left, top = (min(part[axis] for part in kept) for axis in (0, 1))
    right, bottom = (max(part[axis] + part[axis + 2] for part in kept) for axis in (0, 1))
    return float((right - left) * (bottom - top) / changed.size)


def mean_change(painted: np.ndarray, original: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference inside a mask in grey levels, 0 where the mask is empty.

    Args:
        painted: ``(h, w, 3)`` uint8.
        original: ``(h, w, 3)`` uint8.
        mask: ``(h, w)`` bool.
    """
    x0, y0, x1, y1 = bounds(mask)
    if not x1:
        return 0.0
    part = np.s_[y0:y1, x0:x1]
    return float(np.mean(cv2.mean(cv2.absdiff(painted[part], original[part]), mask[part].view(np.uint8))[:3]))
