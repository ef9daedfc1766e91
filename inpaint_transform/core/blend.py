"""Compositing: painted pixels into the image, inside the mask only.

The model paints 8-bit RGB. Images may be uint8, uint16 (full range) or float32 in [0, 1], with 1, 3 or more
channels; grey is replicated for the model and back by luminance, channels past the third are never touched. Pixels
outside the mask stay bit-equal.
"""

from __future__ import annotations

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.masks import bounds, grown, is_box, reach

SCALES = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 257.0, np.dtype(np.float32): 1 / 255}


def check_image(image: np.ndarray) -> None:
    """Refuse what cannot be painted.

    Raises:
        TypeError: Not an array, or not uint8, uint16 or float32.
        ValueError: Not ``(H, W)`` or ``(H, W, C)`` with at least one pixel, or two channels.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image is a {type(image).__name__}; give a numpy array (H, W, C)")
    if image.dtype not in SCALES:
        raise TypeError(f"image has dtype {image.dtype}; convert it to uint8, uint16 or float32 in [0, 1]")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}; give (H, W) or (H, W, C) with at least one pixel")
    if image.ndim == 3 and image.shape[2] == 2:
        raise ValueError(f"image has shape {image.shape}; two channels have no RGB reading, give 1, 3 or more")


def to_rgb8(image: np.ndarray) -> np.ndarray:
    """The 8-bit RGB reading ``(h, w, 3)`` of an image or a part of one; never a view."""
    if image.ndim == 2:
        image = image[:, :, None]
    colour = image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
    if colour.dtype == np.uint8:
        return np.array(colour, order="C")
    return np.clip(np.rint(colour / SCALES[image.dtype]), 0, 255).astype(np.uint8)


def match_border(painted: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift the colours of a painted window so that they continue the picture around the mask.

    The model also repaints the known surroundings; how far those drift from the truth, in the mean of a ring around
    the mask, is how far the colours inside are off.

    Args:
        painted: ``(h, w, 3)`` uint8, the whole painted window.
        original: ``(h, w, 3)`` uint8, the same window of the image.
        mask: ``(h, w)`` bool.

    Returns:
        ``(h, w, 3)`` uint8; beyond the bounding rectangle of the mask, of which nothing is ever used, as it came.
    """
    # Only the ring beyond what the model may have painted tells truth from drift.
    far = reach(mask)
    x0, y0, x1, y1 = bounds(mask)
    around: tuple[slice, slice] = np.s_[max(0, y0 - 2 * far) : y1 + 2 * far, max(0, x0 - 2 * far) : x1 + 2 * far]
    ring = grown(mask[around], 2 * far) & ~grown(mask[around], far)
    if not ring.any():
        around, ring = np.s_[:, :], ~mask
    if not x1 or not ring.any():
        return painted
    where = ring.view(np.uint8)
    drift = np.subtract(cv2.mean(original[around], where), cv2.mean(painted[around], where))[:3]
    levels = np.arange(256)[:, None] + drift
    result = painted.copy()
    part = result[y0:y1, x0:x1]
    part[:] = cv2.LUT(part, np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None])
    return result


def blend_into(image: np.ndarray, painted: np.ndarray, window: Box, alpha: np.ndarray) -> None:
    """Blend a painted window into an image, in place.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, uint8, uint16 or float32; changed only where ``alpha`` is above 0.
        painted: ``(h, w, 3)`` uint8, the window's painted pixels.
        window: Where the window lies in the image.
        alpha: ``(h, w)`` float32 in [0, 1].
    """
    left, top, right, bottom = bounds(alpha > 0)
    part = np.s_[top:bottom, left:right]
    painted, alpha = painted[part], alpha[part]
    region = image[window[1] + top : window[1] + bottom, window[0] + left : window[0] + right]
    if image.ndim == 2:
        region = region[:, :, None]
    if region.shape[2] < 3:
        painted = cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[:, :, None]
    target = region[:, :, : painted.shape[2]]
    solid = alpha >= 1
    x0, y0, x1, y1 = bounds(solid) if is_box(solid) else (0, 0, 0, 0)
    inner = np.s_[y0:y1, x0:x1]
    # A box is mixed along its edges only.
    for edge in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        if alpha[edge].size:
            _mix(target[edge], painted[edge], alpha[edge])
    scale = SCALES[image.dtype]
    target[inner] = painted[inner] if scale == 1 else np.multiply(painted[inner], scale, dtype=np.float32)


def _mix(target: np.ndarray, painted: np.ndarray, alpha: np.ndarray) -> None:
    weight = np.repeat(alpha[:, :, None], painted.shape[2], axis=2)
    # Two products instead of old + weight * (new - old): a weight of 1 must give the painted value exactly.
    new = painted * (weight * np.float32(SCALES[target.dtype]))
    np.subtract(1, weight, out=weight)
    weight *= target
    new += weight
    if target.dtype != np.float32:
        np.clip(np.rint(new, out=new), 0, np.iinfo(target.dtype).max, out=new)
    np.copyto(target, new, where=(alpha > 0)[:, :, None], casting="unsafe")


def put(target: np.ndarray, pixels: np.ndarray, where: np.ndarray | None = None) -> None:
    """Put a part that is blended already into its place, channels past its own untouched.

    Args:
        target: ``(h, w)`` or ``(h, w, C)``; a view of the image, written to.
        pixels: ``(h, w)`` or ``(h, w, c)`` with ``c <= C``, in the same dtype.
        where: ``(h, w)`` bool: only there; None for everywhere.
    """
    if pixels.ndim == 3:
        target = target[:, :, : pixels.shape[2]]
        where = where if where is None else where[:, :, None]
    np.copyto(target, pixels, where=True if where is None else where)
