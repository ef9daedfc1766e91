"""A heat map of centres with the sides of the box at each (Zhou et al., 1904.07850): network, target, loss, reading.

It works on pictures of any size whose sides are multiples of 32, and is shared by the detector of the evaluation and
those of the study (``benchmarks/study``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

STRIDE = 4
WIDTHS = (24, 48, 64, 96, 128)
MERGED_WIDTH = 64
# Of the heat map: a place that is at least as warm is told the sides of its box.
NEAR = 0.6

# A box in cells or pixels, the position of its class, its score.
Found = tuple[tuple[float, float, float, float], int, float]


class Head(nn.Module):
    """Merges feature maps of strides 4, 8, 16, ... into ``(B, classes + 4, H/4, W/4)``.

    Args:
        widths: Channels of the feature maps, the finest first.
        classes: How many classes there are.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.side = nn.ModuleList(nn.Conv2d(width, MERGED_WIDTH, 1) for width in widths)
        last = nn.Conv2d(MERGED_WIDTH, classes + 4, 1)
        # Nearly everything is background: begin with saying so.
        last.bias = nn.Parameter(torch.tensor([-4.0] * classes + [0.0] * 4))
        self.head = nn.Sequential(nn.Conv2d(MERGED_WIDTH, MERGED_WIDTH, 3, padding=1), nn.ReLU(), last)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the class."""
        merged = self.side[-1](levels[-1])
        for convolution, level in zip(reversed(self.side[:-1]), reversed(levels[:-1]), strict=True):
            merged = convolution(level) + functional.interpolate(merged, scale_factor=2)
        return self.head(merged)


class Detector(nn.Module):
    """``(B, 3, H, W)`` to ``(B, classes + 4, H/4, W/4)``: logits of centres, and distances to the four sides.

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(narrow, wide) for narrow, wide in pairwise((3, *WIDTHS)))
        self.head = Head(WIDTHS[1:], classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        levels = []
        for block in self.down:
            pixels = block(pixels)
            levels.append(pixels)
        return self.head(levels[1:])


def _block(narrow: int, wide: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, 2, 1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, 1, 1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
    )


def make_target(boxes: np.ndarray, classes: Sequence[int], count: int, height: int, width: int) -> np.ndarray:
    """What a detector should say of a picture.

    Args:
        boxes: ``(N, 4)`` corners in pixels; those whose centre is outside the picture are left out.
        classes: The position of each box's class.
        count: How many classes there are.
        height: Of the picture, in pixels.
        width: Likewise.

    Returns:
        ``(count + 5, H/4, W/4)`` float32: heat, the distances to the four sides in cells, and where these count.
    """
    high, wide = height // STRIDE, width // STRIDE
    target = np.zeros((count + 5, high, wide), np.float32)
    rows, columns = np.arange(high, dtype=np.float32) + 0.5, np.arange(wide, dtype=np.float32) + 0.5
    for (x0, y0, x1, y1), number in zip(np.asarray(boxes, np.float32) / STRIDE, classes, strict=True):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if not (0 <= x < wide and 0 <= y < high and x1 - x0 > 0.5 and y1 - y0 > 0.5):
            continue
        spread = max(x1 - x0, y1 - y0) / 8 + 0.4
        heat = np.outer(np.exp(-((rows - y) ** 2) / (2 * spread**2)), np.exp(-((columns - x) ** 2) / (2 * spread**2)))
        heat[int(y), int(x)] = 1
        np.maximum(target[number], heat, out=target[number])
        i, j = np.nonzero(heat > NEAR)
        target[count:-1, i, j] = columns[j] - x0, rows[i] - y0, x1 - columns[j], y1 - rows[i]
        target[-1, i, j] = 1
    return target


def loss(output: torch.Tensor, target: torch.Tensor, count: int) -> torch.Tensor:
    """The focal loss of the centres and the L1 loss of the sides.

    Args:
        output: ``(B, count + 4, h, w)`` of a detector.
        target: ``(B, count + 5, h, w)``, see ``make_target``.
        count: How many classes there are.
    """
    heat, wanted = output[:, :count].sigmoid().clamp(1e-4, 1 - 1e-4), target[:, :count]
    peaks = wanted == 1
    hit = -((1 - heat) ** 2 * heat.log())[peaks].sum()
    miss = -((1 - wanted) ** 4 * heat**2 * (1 - heat).log())[~peaks].sum()
    known = target[:, -1:]
    sides = functional.l1_loss(
        functional.softplus(output[:, count:]) * known, target[:, count:-1] * known, reduction="sum"
    )
    return (hit + miss) / peaks.sum().clamp(min=1) + 0.25 * sides / known.sum().clamp(min=1)


def read(output: torch.Tensor, min_score: float, max_found: int) -> list[Found]:
    """What a detector has found in one picture.

    Args:
        output: ``(classes + 4, h, w)``, its answer.
        min_score: Of the heat map: what is lower is no object.
        max_found: At most so many.

    Returns:
        Box in pixels of the picture as the detector saw it, position of the class, score; the surest first.
    """
    count = len(output) - 4
    heat = output[:count].sigmoid()
    heat = heat * (heat == functional.max_pool2d(heat[None], 3, 1, 1)[0])
    scores, order = heat.flatten().topk(min(max_found, heat.numel()))
    distances = functional.softplus(output[count:])
    found: list[Found] = []
    for score, place in zip(scores.tolist(), order.tolist(), strict=True):
        if score < min_score:
            break
        number, row, column = place // heat[0].numel(), place // heat.shape[2] % heat.shape[1], place % heat.shape[2]
        left, top, right, bottom = (STRIDE * distance for distance in distances[:, row, column].tolist())
        x, y = STRIDE * (column + 0.5), STRIDE * (row + 0.5)
        found.append(((x - left, y - top, x + right, y + bottom), number, score))
    return found
