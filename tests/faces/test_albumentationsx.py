"""The same class under AlbumentationsX, which has the same import name; skipped where the MIT one is installed."""

from __future__ import annotations

import albumentations as A
import numpy as np
import pytest
from painters import Painter

from inpaint_transform import BBoxInpaint

pytestmark = pytest.mark.skipif(
    not hasattr(A.BasicTransform, "sample_parameters"), reason="AlbumentationsX is not installed"
)

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOXES = np.array([[20, 30, 60, 50], [100, 20, 40, 70]], np.float32)


def compose(*transforms: A.BasicTransform) -> A.Compose:
    return A.Compose(list(transforms), bbox_params=A.BboxParams("coco", label_fields=["labels"]))


@pytest.mark.parametrize("labels", [["cat", "dog"], [0, 1]])
def test_the_prompt_names_the_chosen_box_and_only_it_changes(painter: Painter, labels: list) -> None:
    transform = BBoxInpaint(prompts="{label}", class_names=["cat", "dog"], include_labels=labels[1:], p=1.0)
    result = compose(A.HorizontalFlip(p=1.0), transform)(image=IMAGE, bboxes=BOXES, labels=labels)
    noop = compose(A.HorizontalFlip(p=1.0), A.NoOp(p=1.0))(image=IMAGE, bboxes=BOXES, labels=labels)
    assert [request.prompt for request in painter.calls[-1]] == ["dog"]
    changed = (result["image"] != noop["image"]).any(axis=2)
    assert changed[20:90, 60:100].any()
    changed[20:90, 60:100] = False
    assert not changed.any()
    assert np.array_equal(result["bboxes"], noop["bboxes"])
    assert list(result["labels"]) == list(noop["labels"])


@pytest.mark.parametrize("seed", [None, 3])
def test_it_fires_with_probability_p(painter: Painter, seed: int | None) -> None:
    transform = compose(BBoxInpaint(p=0.5, seed=seed))
    fired = 0
    for number in range(200):
        image = IMAGE.copy()
        image[0, 0] = number
        fired += (transform(image=image, bboxes=BOXES, labels=["a", "b"])["image"] != image).any()
    assert 70 <= fired <= 130


def test_it_saves_and_loads(painter: Painter) -> None:
    transform = compose(BBoxInpaint(p=1.0, seed=3, context=1.7))
    loaded = A.from_dict(A.to_dict(transform))
    data = {"image": IMAGE, "bboxes": BOXES, "labels": ["a", "b"]}
    assert np.array_equal(transform(**data)["image"], loaded(**data)["image"])
