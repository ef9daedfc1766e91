"""The small data set of the recipes, cut from the picture of the demo, and a detector that trains in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import YolosConfig, YolosForObjectDetection

from inpaint_transform.core.boxes import intersection
from inpaint_transform.tools.bench.samples import embedded

SIZE = 160
NAMES = ["red blood cell", "white blood cell", "platelet"]


def pictures() -> list[dict[str, Any]]:
    """Squares: ``image`` uint8 RGB, ``bboxes`` as pixel corners, ``labels`` as indices of ``NAMES``."""
    sample = embedded()[0].load()
    height, width = sample["image"].shape[:2]
    found = []
    for y in range(0, height - SIZE + 1, SIZE):
        for x in range(0, width - SIZE + 1, SIZE):
            inside = [intersection(box, (x, y, x + SIZE, y + SIZE)) for box in sample["bboxes"]]
            kept = [(box, label) for box, label in zip(inside, sample["labels"], strict=True) if box is not None]
            found.append(
                {
                    "image": np.ascontiguousarray(sample["image"][y : y + SIZE, x : x + SIZE]),
                    "bboxes": [(x0 - x, y0 - y, x1 - x, y1 - y) for (x0, y0, x1, y1), _ in kept],
                    "labels": [NAMES.index(label) for _, label in kept],
                }
            )
    return found


def detector() -> YolosForObjectDetection:
    """A YOLOS with random weights, small enough for a processor."""
    torch.manual_seed(0)
    return YolosForObjectDetection(
        YolosConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=[SIZE, SIZE],
            num_detection_tokens=20,
            num_labels=len(NAMES),
        )
    )


def detr_targets(boxes: Any, labels: Any) -> dict[str, torch.Tensor]:
    """Pixel corners as YOLOS and DETR take them: centres and sides as shares of the image."""
    corners = torch.as_tensor(np.array(boxes, np.float32).reshape(-1, 4)) / SIZE
    centres, sides = (corners[:, 2:] + corners[:, :2]) / 2, corners[:, 2:] - corners[:, :2]
    return {"boxes": torch.cat([centres, sides], 1), "class_labels": torch.tensor([int(label) for label in labels])}
