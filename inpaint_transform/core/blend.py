"""Compositing: painted pixels into the image, inside the mask only.

The model paints 8-bit RGB. Images may be uint8, uint16 (full range) or float32 in [0, 1], with 1, 3 or more
channels; grey is replicated for the model and back by luminance, channels past the third are never touched. Pixels
outside the mask stay bit-equal.
"""

from __future__ import annotations

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box, Outline, sides

# So many corners are within a tenth of a pixel of an ellipse 200 pixels wide.
ELLIPSE_CORNERS = 64
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


def shape_mask(box: Box, window: Box, shape: str) -> np.ndarray:
    """The mask of a box in its window.

    Args:
        box: Pixel box inside the window.
        window: Pixel window.
        shape: ``"ellipse"`` for the ellipse that the box encloses; anything else is the box.

    Returns:
        ``(window height, window width)`` bool.
    """
    width, height = sides(box)
    inside = np.ones((height, width), bool)
    if shape == "ellipse":
        rows = (np.arange(height) + 0.5) / height * 2 - 1
        columns = (np.arange(width) + 0.5) / width * 2 - 1
        inside = rows[:, None] ** 2 + columns[None, :] ** 2 <= 1
    return embed(inside, box, window)


def embed(inside: np.ndarray, box: Box, window: Box) -> np.ndarray:
    """A box's mask ``(box height, box width)`` in its window: ``(window height, window width)`` bool."""
    mask = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    mask[box[1] - window[1] : box[3] - window[1], box[0] - window[0] : box[2] - window[0]] = inside
    return mask


def dilated(mask: np.ndarray, box: Box, share: float) -> np.ndarray:
    """An instance mask, grown a little and cut to its box.

    Annotated outlines run inside the object as often as outside, and a rim of the old object left standing is what
    the model would continue.

    Args:
        mask: ``(H, W)``, the whole image's; non-zero where the object is.
        box: Pixel box.
        share: How far to grow, over the box's shorter side; at least a pixel unless it is 0.

    Returns:
        ``(box height, box width)`` bool.
    """
    reach = max(1, round(share * min(sides(box)))) if share else 0
    x0, y0, x1, y1 = box
    top, left = max(0, y0 - reach), max(0, x0 - reach)
    around = _grown(mask[top : y1 + reach, left : x1 + reach] != 0, reach)
    return around[y0 - top : y1 - top, x0 - left : x1 - left]


def outline_mask(outline: Outline, window: Box, shape: str) -> np.ndarray:
    """The mask of a polygon in its window: the pixels whose centres lie inside.

    Args:
        outline: Corners ``(x, y)`` in image coordinates, where pixel 0 covers [0, 1]; at least 3, in their order.
        window: Pixel window.
        shape: ``"box"`` for the polygon itself, or ``"ellipse"`` for the ellipse in it; a polygon of 4 corners.

    Returns:
        ``(window height, window width)`` bool.
    """
    corners = np.asarray(outline, dtype=np.float64) - window[:2]
    mask = _inside(corners, window)
    if shape == "ellipse":
        turns = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
        right, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
        mask &= _inside(corners.mean(axis=0) + np.cos(turns) * right + np.sin(turns) * down, window)
    return mask


def _inside(corners: np.ndarray, window: Box) -> np.ndarray:
    """The pixels of a window whose centres lie inside a polygon with corners ``(N, 2)`` in the window."""
    columns = np.arange(window[2] - window[0]) + 0.5
    rows = (np.arange(window[3] - window[1]) + 0.5)[:, None]
    inside = np.zeros((len(rows), len(columns)), bool)
    # A point is inside when a ray to its right crosses the outline an odd number of times. OpenCV's fillPoly would
    # also paint every pixel that the outline touches.
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= rows) != (y1 <= rows)) & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside


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
    if width < 1 or not mask.any():
        return mask.astype(np.float32)
    # A mask that ends at the window's border ends there for good, unless the image itself does.
    pads = (window[1] > 0, window[3] < image_height, window[0] > 0, window[2] < image_width)
    top, bottom, left, right = (int(pad) for pad in pads)
    padded = np.pad(mask.astype(np.uint8), ((top, bottom), (left, right)))
    # With one row and column around it the mask's own rectangle has, for each pixel, the nearest one outside the mask.
    x, y, length, height = cv2.boundingRect(padded)
    x0, y0, x1, y1 = max(x - 1, 0), max(y - 1, 0), x + length + 1, y + height + 1
    around = padded[y0:y1, x0:x1]
    if around.all():
        return mask.astype(np.float32)
    distance = cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weights = np.zeros(padded.shape, np.float32)
    np.minimum(distance / np.float32(width + 1), 1, out=weights[y0:y1, x0:x1])
    return weights[top : top + mask.shape[0], left : left + mask.shape[1]]


def match_border(painted: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift the colours of a painted window so that they continue the picture around the mask.

    The model also repaints the known surroundings; how far those drift from the truth, in the mean of a ring around
    the mask, is how far the colours inside are off.

    Args:
        painted: ``(h, w, 3)`` uint8, the whole painted window.
        original: ``(h, w, 3)`` uint8, the same window of the image.
        mask: ``(h, w)`` bool.

    Returns:
        ``(h, w, 3)`` uint8.
    """
    # The model grows its mask to whole latent cells, the coarsest of which is a sixteenth of the window: that far
    # beyond the mask it may have painted too, and only the ring after that tells truth from drift.
    reach = max(3, max(mask.shape) // 16)
    ring = _grown(mask, 2 * reach) & ~_grown(mask, reach)
    if not ring.any():
        ring = ~mask
    if not ring.any():
        return painted
    where = ring.view(np.uint8)
    drift = np.subtract(cv2.mean(original, where), cv2.mean(painted, where))[:3]
    levels = np.arange(256)[:, None] + drift
    return cv2.LUT(painted, np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None])


def mean_change(painted: np.ndarray, original: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference inside a mask in grey levels, 0 where the mask is empty.

    Args:
        painted: ``(h, w, 3)`` uint8.
        original: ``(h, w, 3)`` uint8.
        mask: ``(h, w)`` bool.
    """
    return float(np.mean(cv2.mean(cv2.absdiff(painted, original), mask.view(np.uint8))[:3]))


def _grown(mask: np.ndarray, reach: int) -> np.ndarray:
    """The pixels within ``reach`` rows and columns of a mask."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if mask[y : y + height, x : x + width].all():  # most masks are boxes, and need no search for neighbours
        grown = np.zeros_like(mask)
        if width:
            grown[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach] = True
        return grown
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)


def blend_into(image: np.ndarray, painted: np.ndarray, window: Box, alpha: np.ndarray) -> None:
    """Blend a painted window into an image, in place.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, uint8, uint16 or float32; changed only where ``alpha`` is above 0.
        painted: ``(h, w, 3)`` uint8, the window's painted pixels.
        window: Where the window lies in the image.
        alpha: ``(h, w)`` float32 in [0, 1].
    """
    inside = alpha > 0
    left, top, width, height = cv2.boundingRect(inside.view(np.uint8))
    part = np.s_[top : top + height, left : left + width]
    inside, painted = inside[part], painted[part]
    region = image[window[1] + top : window[1] + top + height, window[0] + left : window[0] + left + width]
    if image.ndim == 2:
        region = region[:, :, None]
    if region.shape[2] < 3:
        painted = cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[:, :, None]
    target = region[:, :, : painted.shape[2]]
    weight = np.repeat(alpha[part][:, :, None], painted.shape[2], axis=2)
    # Two products instead of old + weight * (new - old): a weight of 1 must give the painted value exactly.
    new = painted * (weight * np.float32(SCALES[image.dtype]))
    np.subtract(1, weight, out=weight)
    weight *= target
    new += weight
    if image.dtype != np.float32:
        np.clip(np.rint(new, out=new), 0, np.iinfo(image.dtype).max, out=new)
    np.copyto(target, new, where=inside[:, :, None], casting="unsafe")
