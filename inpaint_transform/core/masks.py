"""Masks: shapes, outlines and instance masks of a box, what neighbours keep of it, and RLE, which makes a mask JSON."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box, Outline, intersection, sides

# So many corners are within a tenth of a pixel of an ellipse 200 pixels wide.
ELLIPSE_CORNERS = 64


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
    around = grown(mask[top : y1 + reach, left : x1 + reach] != 0, reach)
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


def reach(mask: np.ndarray) -> int:
    """How far beyond a mask a model may have painted, in pixels of the window.

    It grows its mask to whole latent cells, the coarsest of which is a sixteenth of the window.
    """
    return max(3, max(mask.shape) // 16)


def bounds(mask: np.ndarray) -> Box:
    """The bounding rectangle of a mask; all zeros where it is empty."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return x, y, x + width, y + height


def is_box(mask: np.ndarray) -> bool:
    """Whether a mask fills its bounding rectangle, as most do; so does an empty one."""
    x0, y0, x1, y1 = bounds(mask)
    return bool(mask[y0:y1, x0:x1].all())


def grown(mask: np.ndarray, reach: int) -> np.ndarray:
    """The pixels within ``reach`` rows and columns of a mask."""
    if is_box(mask):  # no search for neighbours
        grown = np.zeros_like(mask)
        x0, y0, x1, y1 = bounds(mask)
        if x1:
            grown[max(0, y0 - reach) : y1 + reach, max(0, x0 - reach) : x1 + reach] = True
        return grown
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)


def shared_areas(box: Box, others: Sequence[Box]) -> np.ndarray:
    """How many pixels each of some boxes shares with a box: ``(N,)`` integers."""
    corners = np.asarray(others, dtype=np.int64).reshape(-1, 4)
    shared = np.minimum(corners[:, 2:], box[2:]) - np.maximum(corners[:, :2], box[:2])
    return shared.clip(min=0).prod(axis=1)


def free_share(box: Box, protected: Sequence[Box]) -> float:
    """The share of a box's pixels that none of the protected boxes covers, in [0, 1]."""
    if not protected:
        return 1.0
    width, height = sides(box)
    free = np.ones((height, width), bool)
    clear(free, box, protected)
    return float(free.mean()) if free.size else 0.0


def clear(mask: np.ndarray, window: Box, protected: Sequence[Box]) -> None:
    """Take protected boxes out of a mask, in place.

    Args:
        mask: ``(h, w)`` bool, the window's mask.
        window: Where the mask lies in the image.
        protected: Pixel boxes.
    """
    for other in protected:
        part = intersection(other, window)
        if part is not None:
            mask[part[1] - window[1] : part[3] - window[1], part[0] - window[0] : part[2] - window[0]] = False


def encode_rle(mask: np.ndarray) -> tuple[int, ...]:
    """COCO's uncompressed run lengths of a mask: column by column, zeros first.

    Args:
        mask: ``(h, w)`` bool.

    Returns:
        How many zeros, then ones, then zeros and so on; their sum is ``h * w``.

    Examples:
        >>> encode_rle(np.array([[False, True], [True, True]]))
        (1, 3)
    """
    pixels = mask.T.reshape(-1)
    if not pixels.size:
        return ()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], changes, [pixels.size])))
    return (*(() if not pixels[0] else (0,)), *(int(length) for length in lengths))


def decode_rle(lengths: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask that ``encode_rle`` has written.

    Raises:
        ValueError: The lengths do not sum up to the mask's size.
    """
    if sum(lengths) != height * width or any(length < 0 for length in lengths):
        raise ValueError(f"RLE of {sum(lengths)} pixels are no mask of {height} x {width}")
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T


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
