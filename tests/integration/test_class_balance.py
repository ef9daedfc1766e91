"""What ``balance`` promises for a data set is what an epoch of it shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest

from inpaint_transform import BBoxInpaint
from inpaint_transform.swaps import Swap, balance, class_counts, class_sizes

DATA = Path(__file__).parents[3] / "shared" / "data"

Sample = tuple[np.ndarray, list[tuple[int, int, int, int]], list[str]]


def read_samples(name: str) -> list[Sample]:
    if not DATA.is_dir():
        pytest.skip("the shared data sets are not here")
    coco = json.loads((DATA / name / "coco.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    samples: dict[int, Sample] = {
        # Draws go by the boxes and by the size; what is in the pictures has no part in it.
        image["id"]: (np.full((image["height"], image["width"], 3), 200, np.uint8), [], [])
        for image in coco["images"]
    }
    for annotation in coco["annotations"]:
        x, y, width, height = map(round, annotation["bbox"])
        _, boxes, labels = samples[annotation["image_id"]]
        boxes.append((x, y, x + width, y + height))
        labels.append(names[annotation["category_id"]])
    return list(samples.values())


def shown(samples: list[Sample], **arguments: Any) -> Counter[str]:
    """How many boxes of each class an epoch shows."""
    paint = BBoxInpaint("tiny", prompts="a {label}", p=1.0, seed=0, **arguments)
    transform = A.Compose([paint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"], clip=True))
    seen: Counter[str] = Counter()
    for image, boxes, labels in samples:
        seen.update(transform(image=image, bboxes=boxes, labels=labels)["labels"])
    return seen


@pytest.mark.usefixtures("painter")
@pytest.mark.parametrize("name", ["bccd", "cones_cubes"])
def test_what_is_promised_is_reached(name: str) -> None:
    samples = read_samples(name)
    labelled = [pair for _, boxes, labels in samples for pair in zip(labels, boxes, strict=True)]
    found = balance(labelled)
    seen = shown(samples, relabel=found.swap, box_p=found.box_p)
    rare = [label for label, count in found.counts.items() if count < len(labelled) / len(found.counts)]
    assert rare
    for label, promised in found.expected.items():
        assert seen[label] == pytest.approx(promised, rel=0.1)
        if label in rare:
            assert seen[label] >= found.counts[label]
    # Of so many boxes that stay the swaps are a small part, so they are looked at alone.
    swapped = sum(seen[label] - found.counts[label] for label in rare)
    assert swapped == pytest.approx(sum(found.expected[label] - found.counts[label] for label in rare), rel=0.2)


@pytest.mark.usefixtures("painter")
def test_a_policy_by_counts_and_sizes_loses_no_rare_object() -> None:
    samples = read_samples("bccd")
    labelled = [pair for _, boxes, labels in samples for pair in zip(labels, boxes, strict=True)]
    counts = class_counts(labelled)
    swap = Swap.balanced(counts, sizes=class_sizes(labelled))
    seen = shown(samples, relabel=swap, box_p=0.3)
    assert seen["WBC"] >= counts["WBC"]
    assert seen["Platelets"] >= counts["Platelets"]
    for label, promised in swap.expected_counts(labelled, 0.3).items():
        assert seen[label] == pytest.approx(promised, rel=0.1)
