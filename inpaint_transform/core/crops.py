"""Crops: which part of the image the model sees around a box, and the way there and back.

The window is a rectangle of the image; the working crop is the square of ``size`` pixels that the model paints.
Both ways use one uniform scale, so nothing is ever stretched. Where the image is too narrow for a square window,
the scaled window sits in the upper left of the working crop and the rest repeats its last row or column.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.masks import bounds, is_box

# Shrunk by less than this, bicubic pictures are at least as near to Lanczos' as means over areas are, keep the
# sharpness that those lose, and take a fifth of the time (benchmarks/resize.py).
LITTLE_SHRINKING = 1.4


def context_window(box: Box, height: int, width: int, context: float) -> Box:
    """Pick the window around a box: ``context`` times its longer side, square where the image allows.

    The window is shifted inside the image before it is shrunk, so a box at the border keeps its context on the
    other side.

    Args:
        box: Pixel box inside the image, not empty.
        height: Image height in pixels.
        width: Image width in pixels.
        context: Window side over longer box side, >= 1.

    Returns:
        A window that contains the box and lies inside the image. It is square unless the box itself is longer
        than the image's shorter side.
    """
    box_width, box_height = sides(box)
    longer = max(box_width, box_height)
    side = max(longer, round(context * longer))
    window_width, window_height = min(side, width), min(side, height)
    if longer <= min(window_width, window_height):
        window_width = window_height = min(window_width, window_height)
    x0 = _centre_inside((box[0] + box[2]) / 2, window_width, width)
    y0 = _centre_inside((box[1] + box[3]) / 2, window_height, height)
    return x0, y0, x0 + window_width, y0 + window_height


def _centre_inside(centre: float, length: int, limit: int) -> int:
    # floor, not round: a centred window as long as the box must start exactly where the box does.
    return int(min(max(math.floor(centre - length / 2), 0), limit - length))


def working_size(window: Box, size: int) -> tuple[int, int]:
    """Width and height in pixels that the scaled window takes inside a working crop of ``size`` pixels."""
    width, height = sides(window)
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))


def crop(image: np.ndarray, window: Box, size: int) -> np.ndarray:
    """Cut a window out of an image and scale it to the working crop.

    Args:
        image: ``(H, W, 3)`` uint8.
        window: Pixel rectangle inside the image.
        size: Side of the working crop in pixels.

    Returns:
        ``(size, size, 3)`` uint8, a new array.
    """
    x0, y0, x1, y1 = window
    width, height = working_size(window, size)
    scaled = _resize(image[y0:y1, x0:x1], width, height)
    if (width, height) == (size, size):
        return scaled
    return cv2.copyMakeBorder(scaled, 0, size - height, 0, size - width, cv2.BORDER_REPLICATE)


def uncrop(painted: np.ndarray, window: Box) -> np.ndarray:
    """Scale a painted working crop back to its window.

    Args:
        painted: ``(size, size, 3)`` uint8.
        window: The window that the crop was cut from.

    Returns:
        ``(window height, window width, 3)`` uint8.
    """
    width, height = working_size(window, painted.shape[0])
    return _resize(painted[:height, :width], *sides(window))


def scaled_box(box: Box, window: Box, size: int) -> Box:
    """Where a box of the image lies in the working crop of its window: every working pixel that it touches.

    Args:
        box: Pixel box inside the window.
        window: Pixel window.
        size: Side of the working crop in pixels.
    """
    width, height = window[2] - window[0], window[3] - window[1]
    length, depth = working_size(window, size)
    x0, y0 = (box[0] - window[0]) * length // width, (box[1] - window[1]) * depth // height
    x1, y1 = -((window[0] - box[2]) * length // width), -((window[1] - box[3]) * depth // height)
    return x0, y0, x1, y1


def crop_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Scale a window's mask to the working crop so that every touched working pixel is set.

    Args:
        mask: ``(window height, window width)`` bool, True where pixels are to be painted.
        size: Side of the working crop in pixels.

    Returns:
        ``(size, size)`` bool. A working pixel is set when any masked pixel of the window falls into it, so no old
        pixel survives inside the mask.
    """
    height, width = mask.shape
    scaled_width, scaled_height = working_size((0, 0, width, height), size)
    out = np.zeros((size, size), bool)
    if is_box(mask):
        x0, y0, x1, y1 = scaled_box(bounds(mask), (0, 0, width, height), size)
        out[y0:y1, x0:x1] = True
    else:
        scaled = _any_within(_any_within(mask, scaled_height, axis=0), scaled_width, axis=1)
        out[:scaled_height, :scaled_width] = scaled
    return out


def _any_within(mask: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Resample one axis of a bool array to ``length`` cells; a cell is True if any pixel it overlaps is."""
    old = mask.shape[axis]
    edges = np.arange(length + 1) * old
    start, last = edges[:-1] // length, -(-edges[1:] // length) - 1
    out = np.take(mask, start, axis)
    for step in range(1, int((last - start).max()) + 1):
        out |= np.take(mask, np.minimum(start + step, last), axis)
    return out


def align_mask(mask: np.ndarray, cell: int) -> np.ndarray:
    """Grow a working-crop mask outwards to whole latent cells.

    A latent cell that is only partly masked would keep a trace of the old object.

    Args:
        mask: ``(size, size)`` bool, ``size`` a multiple of ``cell``.
        cell: Pixels per latent cell (8 for Stable Diffusion, 4 for the tiny model).

    Returns:
        ``(size, size)`` bool, a superset of ``mask`` made of whole cells.
    """
    count = mask.shape[0] // cell
    # Rows first: twelve times faster than both axes at once.
    cells = mask.reshape(count, cell, -1).any(axis=1).reshape(count, count, cell).any(axis=2)
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)


def _resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image.copy()
    much = image.shape[1] >= LITTLE_SHRINKING * width
    interpolation = cv2.INTER_AREA if much else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation)
