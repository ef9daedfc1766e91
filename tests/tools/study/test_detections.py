"""COCO's mAP on resampled test pictures, against pycocotools on data sets in which pictures really stand twice."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inpaint_transform.tools.study import detections, significance

PICTURES = 7


def data(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Boxes of three classes, one of them rare, a crowd, and detections that are right, shifted, doubled or wrong.

    No two have the same score: which comes first then is arbitrary, and differs when a picture stands twice.
    """
    rng = np.random.default_rng(seed)
    boxes: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for picture in range(1, PICTURES + 1):
        for _ in range(int(rng.integers(0, 5))):
            x, y, width, height = (round(float(side), 2) for side in rng.uniform(5, 60, 4))
            kind = int(rng.choice([1, 2, 5], p=[0.5, 0.45, 0.05]))
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": picture,
                    "category_id": kind,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
            for _ in range(int(rng.integers(0, 3))):
                shift = float(rng.normal(0, 0.08 * width))
                box = [x + shift, y, width, height]
                guess = kind if rng.random() < 0.8 else 1
                found.append({"image_id": picture, "category_id": guess, "bbox": box, "score": float(rng.random())})
    truth = {
        "images": [{"id": picture, "width": 200, "height": 200} for picture in range(1, PICTURES + 1)],
        "annotations": boxes,
        "categories": [{"id": kind, "name": str(kind)} for kind in (1, 2, 5)],
    }
    return truth, found


def reference(truth: dict[str, Any], found: list[dict[str, Any]], counts: np.ndarray) -> float:
    """pycocotools on a data set in which each picture stands as often as it counts."""
    images, boxes, again = [], [], []
    for at, count in enumerate(counts):
        for number in range(count):
            key = 100 * (at + 1) + number
            images.append({"id": key, "width": 200, "height": 200})
            own = [box for box in truth["annotations"] if box["image_id"] == at + 1]
            boxes += [{**box, "image_id": key, "id": len(boxes) + 1 + rank} for rank, box in enumerate(own)]
            again += [{**one, "image_id": key} for one in found if one["image_id"] == at + 1]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {**truth, "images": images, "annotations": boxes}
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes(again), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0])


@pytest.mark.parametrize("seed", range(4))
def test_it_is_cocos_metric_of_pictures_that_stand_several_times(tmp_path: Path, seed: int) -> None:
    truth, found = data(seed)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    whole, values, pictures = detections.resampled(path, json.loads(json.dumps(found)))
    assert pictures == [str(number) for number in range(1, PICTURES + 1)]
    assert whole == pytest.approx(reference(truth, found, np.ones(PICTURES, int)), abs=1e-9)
    weights = significance.resampling_weights(PICTURES)
    for at in range(6):
        assert values[at] == pytest.approx(reference(truth, found, weights[at]), abs=1e-9)


def test_a_detector_that_finds_nothing_has_a_precision_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(data(0)[0]))
    whole, values, _ = detections.resampled(path, [])
    assert whole == 0
    assert not values.any()


@pytest.mark.parametrize("broken", [[{"image_id": 99, "bbox": [1, 1, 2, 2]}], [{"a": 1}], [7]])
def test_what_pycocotools_cannot_read_is_said(tmp_path: Path, broken: list[Any]) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(data(0)[0]))
    with pytest.raises(ValueError, match="pycocotools cannot read it"):
        detections.resampled(path, broken)
