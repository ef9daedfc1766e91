"""Readers: small classifiers that are trained on real boxes and read what was painted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from inpaint_transform.core.boxes import Box, from_pixels, relative
from inpaint_transform.fit.denoise import to_pixels
from inpaint_transform.fit.seeded import seeded

# Sides in pixels: what tells classes apart is coarse, what tells paint from a photograph may be fine.
READER_SIZE = 32
CRITIC_SIZE = 64
STEPS = 600
BATCH = 48
RATE = 2e-3
# The share of the steps, at the end, in which the rate falls to nothing.
FALLING = 0.5
# How far the corners of a box move in training, over its sides.
JITTER = 0.06


def box_picture(image: np.ndarray, box: Box, size: int = READER_SIZE) -> np.ndarray:
    """The pixels of a box scaled to a square: ``(size, size, 3)`` uint8."""
    x0, y0, x1, y1 = box
    return cv2.resize(image[y0:y1, x0:x1], (size, size), interpolation=cv2.INTER_AREA)


def patch(image: np.ndarray, box: Box) -> tuple[np.ndarray, Box]:
    """A box with what its corners may reach in training, and where the box lies in it: less to keep than a picture."""
    height, width = image.shape[:2]
    reach = np.array([box[2] - box[0], box[3] - box[1]]) * JITTER + 1
    [around] = from_pixels([(*np.subtract(box[:2], reach), *np.add(box[2:], reach))], height, width)
    return image[around[1] : around[3], around[0] : around[2]].copy(), relative(box, around)


def build(classes: int) -> nn.Module:
    """A small convolutional classifier of pictures of any size."""
    widths = (3, 24, 48, 96)
    blocks: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        blocks += [nn.Conv2d(narrow, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def train_reader(
    patches: Mapping[str, Sequence[tuple[np.ndarray, Box]]],
    labels: Sequence[str],
    seed: int,
    blurred: bool = True,
) -> nn.Module:
    """Train a classifier on real boxes, every class equally often.

    Args:
        patches: Class name to boxes as ``patch`` cuts them; only these are learnt from.
        labels: The class names, in the order of the answers.
        seed: Decides on weights and draws.
        blurred: Whether it sees blurred boxes too. One that does reads by colour and coarse shape; one that does not is
            stricter, because paint is often softer than a photograph.
    """
    rng = np.random.default_rng(seed)

    def batch() -> tuple[list[np.ndarray], np.ndarray]:
        targets = rng.integers(len(labels), size=BATCH)
        pictures = []
        for target in targets.tolist():
            candidates = patches[labels[target]]
            image, box = candidates[int(rng.integers(len(candidates)))]
            width, height = box[2] - box[0], box[3] - box[1]
            moved = np.add(box, rng.uniform(-JITTER, JITTER, 4) * (width, height, width, height))
            [corners] = from_pixels([moved], *image.shape[:2])
            crop = box_picture(image, corners if corners[0] < corners[2] and corners[1] < corners[3] else box)
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
            if blurred:
                crop = cv2.GaussianBlur(np.ascontiguousarray(crop), (0, 0), rng.uniform(0.1, 1.5))
            # Light must not give a painted crop away.
            pictures.append(np.clip(crop * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8))
        return pictures, targets

    return _trained(len(labels), batch, STEPS, seed)


def real_or_painted(real: Sequence[np.ndarray], painted: Sequence[np.ndarray], seed: int) -> float:
    """How well a classifier tells real boxes from painted ones that it has not seen: its balanced accuracy.

    Each half is judged by a classifier that was trained on the other half. 0.5 is perfect paint, 1 is given away.

    Args:
        real: ``(S, S, 3)`` uint8 boxes of photographs, all of one size.
        painted: The same of paintings; at least two of each.
        seed: Decides on halves, weights and draws.
    """
    rng = np.random.default_rng(seed)
    right = []
    halves = [np.array_split(rng.permutation(len(pictures)), 2) for pictures in (real, painted)]
    for fold in (0, 1):
        known = [[pictures[row] for row in half[fold]] for pictures, half in zip((real, painted), halves, strict=True)]

        def batch(known: list[list[np.ndarray]] = known) -> tuple[list[np.ndarray], np.ndarray]:
            targets = rng.integers(2, size=BATCH)
            drawn = [known[target][rng.integers(len(known[target]))] for target in targets]
            return [crop[:, ::-1] if rng.random() < 0.5 else crop for crop in drawn], targets

        classifier = _trained(2, batch, STEPS, seed + fold)
        for kind, pictures in enumerate((real, painted)):
            unseen = [pictures[row] for row in halves[kind][1 - fold]]
            right.append(float((read(classifier, unseen) == kind).mean()))
    return float(np.mean(right))


def _trained(
    classes: int, batch: Callable[[], tuple[list[np.ndarray], np.ndarray]], steps: int, seed: int
) -> nn.Module:
    with seeded(seed):
        reader = convert_conv2d_weight_memory_format(build(classes), torch.channels_last)
    optimizer = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=0.01)
    for step in range(steps):
        # A rate that stays high ends on a good or a bad step by chance, and so would the measure.
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (steps - step) / (FALLING * steps))
        pictures, targets = batch()
        loss = nn.functional.cross_entropy(reader(to_pixels(np.stack(pictures))), torch.from_numpy(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader.eval()


@torch.no_grad()
def read(reader: nn.Module, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The positions of the classes that some pictures are read as; ``(N,)`` int."""
    parts = [reader(to_pixels(np.stack(pictures[start : start + 256]))) for start in range(0, len(pictures), 256)]
    return torch.cat(parts).argmax(dim=1).numpy() if parts else np.zeros(0, int)


def recalls(wanted: np.ndarray, got: np.ndarray) -> dict[int, float]:
    """The recall of each class that is wanted at all; their mean is the balanced accuracy."""
    return {int(label): float((got[wanted == label] == label).mean()) for label in np.unique(wanted)}
