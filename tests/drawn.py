"""A labelled data set that is drawn here: red discs and blue squares on a grey floor."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from inpaint_transform.fit.pictures import Sample

COLOURS = {"disc": (210, 40, 40), "square": (40, 60, 210)}


def draw_set(folder: Path, count: int = 12, size: int = 96, seed: int = 0) -> list[Sample]:
    """Write pictures with one object of each class, and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        image = np.full((size, 2 * size, 3), 120, np.uint8)
        boxes = []
        for place, (label, colour) in enumerate(COLOURS.items()):
            side = int(rng.integers(28, 48))
            x0, y0 = place * size + int(rng.integers(size - side)), int(rng.integers(size - side))
            shade = tuple(int(level + rng.integers(-20, 20)) for level in colour)
            if label == "disc":
                cv2.circle(image, (x0 + side // 2, y0 + side // 2), side // 2, shade, -1)
            else:
                cv2.rectangle(image, (x0, y0), (x0 + side - 1, y0 + side - 1), shade, -1)
            boxes.append((x0, y0, x0 + side, y0 + side))
        image += rng.integers(0, 25, image.shape, np.uint8)
        path = folder / f"{number:03d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        samples.append(Sample(path, tuple(boxes), tuple(COLOURS)))
    return samples
