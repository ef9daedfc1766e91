"""Feathering: how much of the painted pixels counts at each place of a mask, less towards its edge."""

from __future__ import annotations

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.masks import bounds


def feather_alpha(mask: np.ndarray, width: float, window: Box, image_height: int, image_width: int) -> np.ndarray:
    """Blend weights: 0 outside the mask, rising to 1 over ``width`` pixels inside it.

    Where the mask ends at the border of the image there is nothing to blend with and the weight stays 1.

    Args:
        mask: ``(h, w)`` bool, the window's mask.
        width: Blend width in pixels, >= 0; 0 gives a hard edge.
        window: The window in the image.
        image_height: Image height in pixels.
        image_width: Image width in pixels.

    Returns:
        ``(h, w)`` float32 in [0, 1].
    """
    x0, y0, x1, y1 = bounds(mask)
    if width < 1 or not x1:
        return mask.astype(np.float32)
    # A mask that ends at the window's border ends there for good, unless the image itself does.
    far = (
        x0 == 0 == window[0],
        y0 == 0 == window[1],
        x1 == mask.shape[1] and window[2] == image_width,
        y1 == mask.shape[0] and window[3] == image_height,
    )
    inside = mask[y0:y1, x0:x1]
    weights = np.zeros(mask.shape, np.float32)
    part = weights[y0:y1, x0:x1]
    if inside.all():
        # In a rectangle the nearest pixel outside lies straight to one of its sides.
        down, across = _from_ends(y1 - y0, far[1], far[3]), _from_ends(x1 - x0, far[0], far[2])
        np.minimum(down[:, None], across, out=part)
    else:
        # With one row and column around it the mask's own rectangle has, for each pixel, the nearest one outside.
        left, top, right, bottom = (int(not end) for end in far)
        around = np.pad(inside.astype(np.uint8), ((top, bottom), (left, right)))
        # OpenCV 5.0.0 gives one of two results for the same mask, by where its memory lies; they differ in the last
        # bit, which float32 images show. Between pixels, distances are square roots of whole numbers.
        squares = np.square(cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=np.float64)
        distance = np.sqrt(np.rint(squares)).astype(np.float32)
        part[:] = distance[top : top + y1 - y0, left : left + x1 - x0]
    part /= np.float32(width + 1)
    np.minimum(part, 1, out=part)
    return weights


def _from_ends(length: int, first_is_far: bool, last_is_far: bool) -> np.ndarray:
    """Steps from each pixel of a row to the one before its first or behind its last: ``(length,)`` float32."""
    steps = np.arange(1, length + 1, dtype=np.float32)
    none = np.full(length, np.inf, np.float32)
    return np.minimum(none if first_is_far else steps, none if last_is_far else steps[::-1])
