"""Protection: which neighbours' pixels an edit must leave alone.

Which of two overlapping objects is in front, boxes do not tell. So what an edited box shares with a neighbour's box
stays as it is, with one exception: a neighbour that covers nearly all of the edited box (the rider's box around the
helmet's, the shelf's around the cup's) cannot be in front of it, or the box would not have been drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inpaint_transform.core.boxes import Box, intersection, sides

# A neighbour that covers this share of a box is behind it.
BEHIND = 0.8
# A box of which less than this share is left is not worth painting: what is painted there is no whole object.
LEAST_FREE = 0.5


def neighbours(index: int, boxes: Sequence[Box] | np.ndarray) -> list[int]:
    """The boxes whose pixels an edit of box ``index`` must leave alone.

    Args:
        index: The edited box.
        boxes: All pixel boxes of the image, or ``(N, 4)`` integers.

    Returns:
        Indices in ascending order.
    """
    if len(boxes) < 2:
        return []
    all_boxes = np.asarray(boxes)
    box = all_boxes[index]
    shared = np.minimum(all_boxes[:, 2:], box[2:]) - np.maximum(all_boxes[:, :2], box[:2])
    area = shared.clip(min=0).prod(axis=1)
    kept = (area > 0) & (area < BEHIND * max(int(np.prod(box[2:] - box[:2])), 1))
    kept[index] = False
    return [int(found) for found in np.flatnonzero(kept)]


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
