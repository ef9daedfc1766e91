"""Beside: a picture, and next to it what some of its boxes showed before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inpaint_transform.reports.drawing import GAP, INK, LEADING, PALETTE, PAPER

if TYPE_CHECKING:
    from inpaint_transform.core.boxes import Box

# Of a picture of a box, the longer side.
SIDE = 112
RADIUS = 9
MAX_LETTERS = 36


def beside(image: np.ndarray, boxes: Sequence[Box], pairs: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> np.ndarray:
    """A picture whose boxes are numbered, and beside it each of them before and after.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        boxes: In its pixels, one a pair.
        pairs: Before and after, each ``(h, w, 3)`` uint8 and not empty, and a word to them.

    Returns:
        ``(H', W', 3)`` uint8, RGB; the picture is in its upper left.
    """
    picture = Image.fromarray(image)
    row = SIDE + LEADING + GAP
    paper = Image.new("RGB", (picture.width + 2 * SIDE + 3 * GAP, max(picture.height, len(pairs) * row + GAP)), PAPER)
    paper.paste(picture, (0, 0))
    pen = ImageDraw.Draw(paper)
    left = picture.width + GAP
    for number, (box, (before, after, word)) in enumerate(zip(boxes, pairs, strict=True)):
        top = GAP + number * row
        for column, part in enumerate((before, after)):
            scale = SIDE / max(part.shape[:2])
            size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
            paper.paste(Image.fromarray(part).resize(size), (left + column * (SIDE + GAP), top))
        for x, y in (((box[0] + box[2]) // 2, (box[1] + box[3]) // 2), (left + SIDE + GAP // 2, top + SIDE // 2)):
            pen.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), PALETTE[number % len(PALETTE)], PAPER)
            pen.text((x, y), str(number + 1), PAPER, ImageFont.load_default(12), anchor="mm")
        pen.text((left, top + SIDE + 2), word[:MAX_LETTERS], INK, ImageFont.load_default(13))
    return np.array(paper)
