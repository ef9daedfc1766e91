"""Selection: which boxes of an image may be repainted, and which of those are drawn."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Collection, Sequence

import numpy as np

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.labels import Label

# A neighbour that covers this share of a box is behind it.
BEHIND = 0.8
# A box of which less than this share is left is not worth painting: what is painted there is no whole object.
MIN_FREE_SHARE = 0.5


def obstacle(
    box: Box,
    label: Label,
    height: int,
    width: int,
    *,
    min_box_size: int,
    area_range: tuple[float, float],
    include_labels: Collection[Label] | None,
    exclude_labels: Collection[Label],
    truncated: bool,
) -> str | None:
    """Why a box may not be repainted; None where it may.

    Args:
        box: Pixel box inside the image.
        label: Its label.
        height: Image height in pixels.
        width: Image width in pixels.
        min_box_size: Shortest allowed shorter side in pixels.
        area_range: Allowed box area over image area, both ends included.
        include_labels: Only these labels, or None for all.
        exclude_labels: Never these labels.
        truncated: Whether boxes that touch the image border count.

    Returns:
        A few words that name the setting, for counters.
    """
    box_width, box_height = sides(box)
    if min(box_width, box_height) < max(min_box_size, 1):
        return f"smaller than min_box_size={min_box_size}"
    if not area_range[0] <= box_width * box_height / (width * height) <= area_range[1]:
        return "outside area_range"
    if include_labels is not None and label not in include_labels:
        return "not in include_labels"
    if label in exclude_labels:
        return "in exclude_labels"
    return None if truncated or not touches_border(box, height, width) else "at the border (truncated=False)"


def touches_border(box: Box, height: int, width: int) -> bool:
    """Whether a box reaches the edge of the image, so that its object is probably cut off."""
    return box[0] <= 0 or box[1] <= 0 or box[2] >= width or box[3] >= height


def draw(
    candidates: Sequence[int],
    rng: random.Random,
    num_boxes: int | tuple[int, int],
    probabilities: Sequence[float] | None = None,
    usable: Callable[[int], bool] = lambda _: True,
) -> list[int]:
    """Draw the boxes to repaint.

    Args:
        candidates: Indices of eligible boxes.
        rng: Source of the draws.
        num_boxes: How many boxes, or the (least, most) of a uniform draw; fewer where there are fewer candidates.
        probabilities: When given, each candidate is drawn independently with its box's probability and ``num_boxes``
            is unused.
        usable: A dearer test that a box has to pass; only asked for boxes that are drawn.

    Returns:
        Indices in ascending order, without repeats.
    """
    if probabilities is not None:
        return [index for index in candidates if rng.random() < probabilities[index] and usable(index)]
    count = num_boxes if isinstance(num_boxes, int) else rng.randint(*num_boxes)
    order = rng.sample(list(candidates), len(candidates))
    return sorted(itertools.islice(filter(usable, order), count))


def random_region(height: int, width: int, rng: random.Random, min_box_size: int) -> Box | None:
    """Draw a square region for an image without boxes: its side is 0.2 to 0.5 of the image's shorter side.

    Returns:
        A box inside the image, or None where the image is smaller than ``min_box_size``.
    """
    shorter = min(height, width)
    if shorter < max(min_box_size, 1):
        return None
    side = min(shorter, max(round(rng.uniform(0.2, 0.5) * shorter), min_box_size, 1))
    x0, y0 = rng.randint(0, width - side), rng.randint(0, height - side)
    return x0, y0, x0 + side, y0 + side


class Overlaps:
    """Which boxes of an image share pixels, found without comparing each with every other one.

    Args:
        boxes: All pixel boxes of the image, or ``(N, 4)`` integers.
    """

    def __init__(self, boxes: Sequence[Box] | np.ndarray) -> None:
        self._boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
        # Those that begin left of a box's right side and not too far left of it stand beside each other in this order.
        self._order = np.argsort(self._boxes[:, 0], kind="stable")
        self._sorted = self._boxes[self._order]
        self._widest = int((self._boxes[:, 2] - self._boxes[:, 0]).max(initial=0))

    def of(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The boxes that share pixels with box ``index``, in ascending order, and how many each."""
        box = self._boxes[index]
        start, end = np.searchsorted(self._sorted[:, 0], (box[0] - self._widest, box[2]))
        near = self._sorted[start:end]
        shared = np.minimum(near[:, 2:], box[2:]) - np.maximum(near[:, :2], box[:2])
        area = shared.clip(min=0).prod(axis=1)
        others = self._order[start:end]
        found = np.flatnonzero((area > 0) & (others != index))
        found = found[np.argsort(others[found])]
        return others[found], area[found]


def neighbours(index: int, boxes: Sequence[Box] | np.ndarray, overlaps: Overlaps | None = None) -> list[int]:
    """The boxes whose pixels an edit of box ``index`` must leave alone.

    Which of two overlapping objects is in front, boxes do not tell. So what an edited box shares with a neighbour's
    box stays as it is, with one exception: a neighbour that covers nearly all of the edited box (the rider's box
    around the helmet's, the shelf's around the cup's) cannot be in front of it, or the box would not have been drawn.

    Args:
        index: The edited box.
        boxes: All pixel boxes of the image, or ``(N, 4)`` integers.
        overlaps: Those of the same boxes, where more than one is asked for.

    Returns:
        Indices in ascending order.
    """
    if len(boxes) < 2:
        return []
    others, area = (overlaps or Overlaps(boxes)).of(index)
    return [int(found) for found in others[area < BEHIND * max(math.prod(sides(boxes[index])), 1)]]
