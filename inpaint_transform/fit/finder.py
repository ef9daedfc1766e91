"""A small detector, trained on real pictures: it must find what was painted where its box is.

It looks at whole pictures, so that nothing but the picture tells where the box is; see ``heatmap``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from inpaint_transform.core.boxes import Box, iou
from inpaint_transform.fit import heatmap
from inpaint_transform.fit.denoise import to_pixels
from inpaint_transform.fit.heatmap import Detector
from inpaint_transform.fit.pictures import Sample, of_labels, read_picture
from inpaint_transform.fit.seeded import seeded

SIDE = 256
STEPS = 1500
BATCH = 8
RATE = 2e-3
# As in the evaluation of COCO's easiest level: box and found box share half of what they cover.
MIN_IOU = 0.5
# Of the heat map: what is lower is no object.
MIN_SCORE = 0.2
MAX_FOUND = 100


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
        labels: The class names, in the order of the answers; boxes of others are none.
        seed: Decides on weights and draws.
    """
    samples = of_labels(samples, labels)
    squares = [shrunk(read_picture(sample.image)) for sample in samples]
    with seeded(seed):
        detector = convert_conv2d_weight_memory_format(Detector(len(labels)), torch.channels_last)
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
            targets.append(heatmap.make_target(boxes, classes, len(labels), SIDE, SIDE))
        output = detector(to_pixels(np.stack(images)))
        loss = heatmap.loss(output, torch.from_numpy(np.stack(targets)), len(labels))
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


@torch.no_grad()
def detect(detector: Detector, image: np.ndarray) -> list[heatmap.Found]:
    """What is found in a picture: box in its pixels, position of the class, score; the surest first."""
    square, scale = shrunk(image)
    [output] = detector(to_pixels(square[None]))
    return [
        ((x0 / scale, y0 / scale, x1 / scale, y1 / scale), number, score)
        for (x0, y0, x1, y1), number, score in heatmap.read(output, MIN_SCORE, MAX_FOUND)
    ]


def finds(detector: Detector, image: np.ndarray, box: Box, number: int) -> bool:
    """Whether the detector finds an object of a class in a box of a picture."""
    return any(kind == number and iou(place, box) >= MIN_IOU for place, kind, _ in detect(detector, image))
