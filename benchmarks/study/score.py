"""How good a detector is: COCO's average precision, of everything and by class."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# pycocotools numbers IoU thresholds from 0.5 in steps of 0.05.
AT_75 = 5


def average_precision(truth: dict[str, Any], detections: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """COCO's average precision.

    Args:
        truth: Boxes in COCO's own form, see ``sets.truth``.
        detections: ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``score`` each.

    Returns:
        ``map`` (the mean over IoU 0.5 to 0.95), ``map50``, ``map75``, and ``by_class`` with ``map`` by class name.
    """
    names = {category["id"]: category["name"] for category in truth["categories"]}
    if not detections:
        return {"map": 0.0, "map50": 0.0, "map75": 0.0, "by_class": dict.fromkeys(names.values(), 0.0)}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        found = COCOeval(known, known.loadRes(list(detections)), "bbox")
        found.evaluate()
        found.accumulate()
    # IoU, recall, class, area (the first is all), detections of a picture (the last is 100).
    precision = found.eval["precision"][:, :, :, 0, -1]
    return {
        "map": _mean(precision),
        "map50": _mean(precision[0]),
        "map75": _mean(precision[AT_75]),
        "by_class": {names[number]: _mean(precision[:, :, place]) for place, number in enumerate(found.params.catIds)},
    }


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return round(float(known.mean()), 5) if known.size else 0.0
