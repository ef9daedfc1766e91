"""A small detector, trained on real pictures: it must find what was painted where its box is.

A heat map of centres with the sides of the box at each (Zhou et al., 1904.07850), on whole pictures, so that nothing
but the picture tells where the box is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.core.boxes import Box, iou
from inpaint_transform.fit.denoise import to_pixels
from inpaint_transform.fit.pictures import Sample, read_picture

SIDE = 256
STRIDE = 4
STEPS = 1500
BATCH = 8
RATE = 2e-3
# As in the evaluation of COCO's easiest level: box and found box share half of what they cover.
MIN_IOU = 0.5
# Of the heat map: what is lower is no object.
MIN_SCORE = 0.2
MAX_FOUND = 100


class Detector(nn.Module):
    """``(B, 3, 256, 256)`` to ``(B, classes + 4, 64, 64)``: logits of centres, and distances to the four sides.

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96, 128)
        self.down = nn.ModuleList(_block(narrow, wide) for narrow, wide in pairwise(widths))
        self.side = nn.ModuleList(nn.Conv2d(width, 64, 1) for width in widths[2:])
        last = nn.Conv2d(64, classes + 4, 1)
        # Nearly everything is background: begin with saying so.
        last.bias = nn.Parameter(torch.tensor([-4.0] * classes + [0.0] * 4))
        self.head = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), last)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        levels = []
        for block in self.down:
            pixels = block(pixels)
            levels.append(pixels)
        merged = self.side[-1](levels[-1])
        for convolution, level in zip(reversed(self.side[:-1]), reversed(levels[1:-1]), strict=True):
            merged = convolution(level) + functional.interpolate(merged, scale_factor=2)
        return self.head(merged)


def _block(narrow: int, wide: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, 2, 1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, 1, 1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
    )


def shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture in the upper left of a grey square of ``SIDE`` pixels, and by what its sides were multiplied."""
    scale = SIDE / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    square = np.full((SIDE, SIDE, 3), 128, np.uint8)
    square[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return square, scale


def train_detector(samples: Sequence[Sample], labels: Sequence[str], seed: int) -> Detector:
    """Train on real pictures.

    Args:
        samples: The pictures and their boxes; only these are learnt from.
        labels: The class names, in the order of the answers.
        seed: Decides on weights and draws.
    """
    squares = [shrunk(read_picture(sample.image)) for sample in samples]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        detector = Detector(len(labels))
    optimizer = torch.optim.AdamW(detector.parameters(), RATE, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100, (STEPS - step) / (0.3 * STEPS))
        images, targets = [], []
        for row in rng.integers(len(samples), size=BATCH):
            square, scale = squares[row]
            boxes = np.array([samples[row].boxes]).reshape(-1, 4) * scale
            classes = [labels.index(label) for label in samples[row].labels]
            image, boxes = _augmented(square, boxes, rng)
            images.append(image)
            targets.append(_target(boxes, classes, len(labels)))
        output = detector(to_pixels(np.stack(images)))
        loss = _loss(output, torch.from_numpy(np.stack(targets)), len(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return detector.eval()


def _augmented(image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mirrored, moved, in another size and light."""
    scale, (right, down) = rng.uniform(0.8, 1.25), rng.uniform(-0.15, 0.15, 2) * SIDE
    if rng.random() < 0.5:
        image, boxes = image[:, ::-1], np.stack([SIDE - boxes[:, 2], boxes[:, 1], SIDE - boxes[:, 0], boxes[:, 3]], 1)
    matrix = np.array([[scale, 0, right], [0, scale, down]])
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE), borderValue=(128, 128, 128))
    lit = np.clip(moved * (rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3)), 0, 255).astype(np.uint8)
    return lit, boxes * scale + np.array([right, down, right, down])


def _target(boxes: np.ndarray, classes: Sequence[int], count: int) -> np.ndarray:
    """``(count + 5, cells, cells)``: heat, the distances to the four sides in cells, and where these count."""
    cells = SIDE // STRIDE
    target = np.zeros((count + 5, cells, cells), np.float32)
    rows, columns = np.mgrid[:cells, :cells] + 0.5
    for (x0, y0, x1, y1), number in zip(boxes / STRIDE, classes, strict=True):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if not (0 <= x < cells and 0 <= y < cells and x1 - x0 > 0.5 and y1 - y0 > 0.5):
            continue
        spread = max(x1 - x0, y1 - y0) / 8 + 0.4
        heat = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        heat[int(y), int(x)] = 1
        target[number] = np.maximum(target[number], heat)
        near = heat > 0.6
        target[count:-1, near] = np.stack([columns - x0, rows - y0, x1 - columns, y1 - rows])[:, near]
        target[-1, near] = 1
    return target


def _loss(output: torch.Tensor, target: torch.Tensor, count: int) -> torch.Tensor:
    heat, wanted = output[:, :count].sigmoid().clamp(1e-4, 1 - 1e-4), target[:, :count]
    peaks = wanted == 1
    hit = -((1 - heat) ** 2 * heat.log())[peaks].sum()
    miss = -((1 - wanted) ** 4 * heat**2 * (1 - heat).log())[~peaks].sum()
    known = target[:, -1:]
    sides = functional.l1_loss(
        functional.softplus(output[:, count:]) * known, target[:, count:-1] * known, reduction="sum"
    )
    return (hit + miss) / peaks.sum().clamp(min=1) + 0.25 * sides / known.sum().clamp(min=1)


@torch.no_grad()
def detect(detector: Detector, image: np.ndarray) -> list[tuple[tuple[float, float, float, float], int, float]]:
    """What is found in a picture: box in its pixels, position of the class, score; the surest first."""
    square, scale = shrunk(image)
    [output] = detector(to_pixels(square[None]))
    count = len(output) - 4
    heat = output[:count].sigmoid()
    heat = heat * (heat == functional.max_pool2d(heat[None], 3, 1, 1)[0])
    scores, order = heat.flatten().topk(min(MAX_FOUND, heat.numel()))
    distances = functional.softplus(output[count:])
    found = []
    for score, place in zip(scores.tolist(), order.tolist(), strict=True):
        if score < MIN_SCORE:
            break
        number, row, column = place // heat[0].numel(), place // heat.shape[2] % heat.shape[1], place % heat.shape[2]
        left, top, right, bottom = distances[:, row, column].tolist()
        x, y = column + 0.5, row + 0.5
        corners = (x - left, y - top, x + right, y + bottom)
        box = tuple(corner * STRIDE / scale for corner in corners)
        found.append(((box[0], box[1], box[2], box[3]), number, score))
    return found


def finds(detector: Detector, image: np.ndarray, box: Box, number: int) -> bool:
    """Whether the detector finds an object of a class in a box of a picture."""
    return any(kind == number and iou(place, box) >= MIN_IOU for place, kind, _ in detect(detector, image))
