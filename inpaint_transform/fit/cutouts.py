"""Objects cut out of their pictures, so that they can be shown at places where nobody photographed them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from inpaint_transform.core import crops, masks
from inpaint_transform.core.boxes import Box, Outline, sides

# GrabCut (Rother et al., 2004) on the box and so much of what is around it, no larger than so many pixels, in so many
# rounds. Twice: by all colours, and with half the lightness and more around it, where shade counts less. What they do
# not agree on, in intersection over union, is not cut out: a model that learns from cones without their dark sides
# paints bent ones.
NEAR, FAR = (1.5, 96), (2.0, 128)
ROUNDS = 4
AGREED = 0.93
# How much of either side of its box an object reaches over: a nucleus is no cell.
REACH = 0.8
# By how much its outline is smoothed, over the box's longer side.
SMOOTH = 0.02
# Of its box: less is a part of an object, more is an object with its floor.
LEAST, MOST = 0.25, 0.92
# Of the pixels along the edge, which are half object and half floor; over the box's longer side.
SOFT = 0.02
# Nearer to the edge of its picture, over the picture's longer side, and it may go on beyond it.
EDGE = 0.005


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object without what is around it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB, what its box shows.
        alpha: ``(H, W)`` float32 in [0, 1], how much of a pixel is the object.
        outline: Its polygon in these pixels, where there is one.
    """

    image: np.ndarray
    alpha: np.ndarray
    outline: Outline | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.alpha.shape
        return width, height

    def tilted(self, degrees: float) -> Cutout:
        """The same object, turned to the left, in a box that leaves as much room beside it as its own did."""
        width, height = self.size
        left, top, right, bottom = _extent(self.alpha)
        matrix: np.ndarray = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        reach = np.abs(matrix[:, :2]) @ (width, height)
        matrix[:, 2] += (reach - (width, height)) / 2
        x0, y0, x1, y1 = _extent(cv2.warpAffine(self.alpha, matrix, np.ceil(reach).astype(int).tolist()))
        matrix[:, 2] += left - x0, top - y0
        size = (left + x1 - x0 + width - right, top + y1 - y0 + height - bottom)
        image = cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        outline = self.outline
        if outline is not None:
            points = np.array(outline) @ matrix[:, :2].T + matrix[:, 2]
            outline = tuple((float(x), float(y)) for x, y in points)
        return Cutout(image, cv2.warpAffine(self.alpha, matrix, size), outline)

    def paste(self, picture: np.ndarray, place: Box) -> None:
        """Put it into a picture, in place.

        Args:
            picture: ``(H, W, 3)`` uint8.
            place: Where; as large as the object.
        """
        x0, y0, x1, y1 = place
        alpha = self.alpha[..., None]
        mixed = self.image * alpha + picture[y0:y1, x0:x1] * (1 - alpha)
        picture[y0:y1, x0:x1] = np.rint(mixed).astype(np.uint8)


def cut_out(picture: np.ndarray, box: Box, outline: Outline | None = None) -> Cutout | None:
    """Cut an object out of a picture.

    Args:
        picture: ``(H, W, 3)`` uint8, RGB.
        box: Where it is, inside the picture.
        outline: Its polygon in image coordinates; without one it is told from its surroundings by colour.

    Returns:
        The object, or None where no outline is found that can be one, and where the picture's edge may cut it off:
        elsewhere half a thing would pass for a whole one.
    """
    height, width = picture.shape[:2]
    edge = max(1.0, EDGE * max(height, width))
    if min(box[0], box[1], width - box[2], height - box[3]) < edge:
        return None
    inside = _by_colour(picture, box) if outline is None else masks.outline_mask(outline, box, "box")
    if not LEAST <= inside.mean() <= MOST:
        return None
    # The outermost pixels are floor as well as object: they would be a rim of the old floor on the new one.
    soft = max(1.0, SOFT * max(sides(box)))
    bordered = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(bordered, cv2.DIST_L2, 3)[1:-1, 1:-1]
    x0, y0, x1, y1 = box
    alpha = np.clip((depth - 1) / soft, 0, 1).astype(np.float32)
    within = None if outline is None else tuple((x - x0, y - y0) for x, y in outline)
    return Cutout(picture[y0:y1, x0:x1].copy(), alpha, within)


def _extent(alpha: np.ndarray) -> Box:
    """The smallest box with all that is not transparent."""
    rows, columns = (np.flatnonzero(alpha.max(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _by_colour(picture: np.ndarray, box: Box) -> np.ndarray:
    """What in a box is coloured unlike what is around it, ``(H, W)`` bool; nothing where that is not clear."""
    near, far = _largest_piece(picture, box, *NEAR), _largest_piece(picture, box, *FAR, shade=0.5)
    if (near & far).sum() < AGREED * (near | far).sum():
        return np.zeros_like(near)
    mean = (near.astype(np.float32) + far) / 2
    whole: np.ndarray = cv2.GaussianBlur(mean, (0, 0), SMOOTH * max(sides(box))) > 0.5
    reached = min(whole.any(axis).mean() for axis in (0, 1))
    return whole if reached >= REACH else np.zeros_like(whole)


def _largest_piece(picture: np.ndarray, box: Box, around: float, size: int, shade: float = 1) -> np.ndarray:
    """The largest piece of a box that is coloured unlike what is around the box, ``(H, W)`` bool.

    Args:
        picture: ``(H, W, 3)`` uint8, RGB.
        box: Where to look.
        around: Side of the window that is compared, over the box's longer side.
        size: Its longer side at most, in pixels.
        shade: How much lightness counts against hue: where not as much, colours are compared in CIELAB.
    """
    window = crops.context_window(box, picture.shape[0], picture.shape[1], around)
    scale = min(1.0, size / max(sides(window)))
    small = [max(1, round(side * scale)) for side in sides(window)]
    seen = cv2.resize(picture[window[1] : window[3], window[0] : window[2]], small, interpolation=cv2.INTER_AREA)
    if shade != 1:
        seen = cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)
        seen[..., 0] = seen[..., 0] * shade
    x0, y0 = (round((box[at] - window[at]) * scale) for at in (0, 1))
    width, height = (max(1, round(side * scale)) for side in sides(box))
    found = np.full(seen.shape[:2], cv2.GC_BGD, np.uint8)
    found[y0 : y0 + height, x0 : x0 + width] = cv2.GC_PR_FGD
    if (found == cv2.GC_BGD).sum() < size:
        return np.zeros(sides(box)[::-1], bool)
    # It begins with clusters that are drawn: without a seed the same box would be cut in another way each time.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(seen, found, (0, 0, 0, 0), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    pieces = ((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)).astype(np.uint8)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(pieces)
    if count < 2:
        return np.zeros(sides(box)[::-1], bool)
    largest = (numbers == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.float32)
    part = largest[y0 : y0 + height, x0 : x0 + width]
    smooth = cv2.GaussianBlur(part, (0, 0), 1.0)
    whole: np.ndarray = cv2.resize(smooth, sides(box), interpolation=cv2.INTER_CUBIC) > 0.5
    return whole
