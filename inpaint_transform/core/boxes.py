"""Boxes: half-open integer pixel rectangles ``(x0, y0, x1, y1)`` in the image frame.

Everything inside the library speaks this one form. Frameworks' formats are converted here, once, by rounding
to the nearest pixel: flooring or ceiling a de-normalised box is wrong for nine integer boxes in ten, because
float32 division rarely returns the integer it started from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
# Halves of pixels are frequent in files. One that went through float32 is a little more or less, and must be rounded as
# the one in the file is, or a look that was painted for it is never found.
TIE = 0.004
# Corners of a polygon as (x, y) in pixels, in their order.
Outline = tuple[tuple[float, float], ...]


def from_normalized(boxes: npt.ArrayLike, height: int, width: int) -> list[Box]:
    """Convert normalised ``(x0, y0, x1, y1)`` rows to pixel boxes inside the image.

    Args:
        boxes: Float array-like ``(N, >=4)``, values in [0, 1]; further columns are ignored. May be empty (any shape).
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        One box a row, clipped to the image. A box narrower than a pixel may come out empty (``x0 == x1``).

    Raises:
        ValueError: A coordinate is NaN or infinite, or a box is inverted.
    """
    rows = np.asarray(boxes, dtype=np.float64)
    if rows.size == 0:
        return []
    return from_pixels(rows[:, :4] * (width, height, width, height), height, width)


def from_pixels(boxes: npt.ArrayLike, height: int, width: int) -> list[Box]:
    """Round pixel ``(x0, y0, x1, y1)`` rows to the nearest pixel, halves up, and clip them to the image.

    What lies up to ``TIE`` below a half is a half.

    Args:
        boxes: Float or int array-like ``(N, >=4)`` in pixels.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        One box a row, clipped to the image.

    Raises:
        ValueError: A coordinate is NaN or infinite, or a box is inverted.
    """
    rows = np.asarray(boxes, dtype=np.float64)
    if rows.size == 0:
        return []
    corners = rows[:, :4]
    broken = ~np.isfinite(corners).all(axis=1)
    if broken.any():
        raise ValueError(f"box {int(np.argmax(broken))} has a coordinate that is not finite: {corners[broken][0]}")
    inverted = (corners[:, 2] < corners[:, 0]) | (corners[:, 3] < corners[:, 1])
    if inverted.any():
        raise ValueError(
            f"box {int(np.argmax(inverted))} is inverted: {corners[inverted][0]}; expected x0 <= x1 and y0 <= y1"
        )
    limits = np.array([width, height, width, height])
    rounded = np.clip(np.floor(corners + (0.5 + TIE)), 0, limits).astype(int)
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in rounded]


def sides(box: Sequence[int]) -> tuple[int, int]:
    """Width and height of a box in pixels."""
    return box[2] - box[0], box[3] - box[1]


def intersection(a: Box, b: Box) -> Box | None:
    """The rectangle that two boxes share, or None where they share no pixel."""
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def relative(box: Box, window: Box) -> Box:
    """A box of the image as seen from a window of it: ``window``'s upper left corner is (0, 0)."""
    x0, y0 = window[:2]
    return box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0


def iou(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes ``(x0, y0, x1, y1)``, in [0, 1]."""
    width, height = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    shared = float(max(width, 0) * max(height, 0))
    areas = [float(max(x1 - x0, 0) * max(y1 - y0, 0)) for x0, y0, x1, y1 in (box, other)]
    union = sum(areas) - shared
    return shared / union if union else 0.0
