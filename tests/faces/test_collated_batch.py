from __future__ import annotations

import albumentations as A
import numpy as np
import pytest
import torch
from engines import spec

from inpaint_transform import BBoxInpaint, InpaintError, ModelSpec
from inpaint_transform.faces.collated_batch import BatchInpaint

BOXES = [torch.tensor([[8.0, 8.0, 40.0, 44.0]]), torch.zeros(0, 4), torch.tensor([[4.0, 10.0, 50.0, 50.0]])]
LABELS = [torch.tensor([1]), [], [2]]


def pictures(dtype, sizes=((64, 64), (64, 64), (64, 64))):
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    return images if dtype == torch.uint8 else [image.float() / 255 for image in images]


def outside(image, boxes):
    image = image.clone()
    for x0, y0, x1, y1 in boxes.int().tolist():
        image[:, y0:y1, x0:x1] = 0
    return image


def painter(name, p=1.0, **options):
    return BatchInpaint(BBoxInpaint(spec(name, serving="local"), prompts="paint", p=p, **options))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("kind", ["stacked", "list", "tuple", "mixed sizes"])
def test_batch_is_painted_inside_the_boxes_in_one_call(inverting, dtype, kind):
    images = pictures(dtype, ((64, 64), (80, 48), (60, 72)) if kind == "mixed sizes" else ((64, 64),) * 3)
    given = torch.stack(images) if kind == "stacked" else tuple(images) if kind == "tuple" else images
    untouched = [image.clone() for image in images]
    paint = painter(f"{dtype}-{kind}".replace(" ", "-"))
    painted = paint(given, BOXES, LABELS)
    assert type(painted) is type(given)
    assert paint.transform.inpainter.stats()["batch_sizes"] == {"2": 1}
    for before, original, after, boxes in zip(untouched, given, painted, BOXES, strict=True):
        assert torch.equal(before, original)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        assert torch.equal(outside(after, boxes), outside(before, boxes))
        assert torch.equal(after, before) == (len(boxes) == 0)


def test_tiny_model_paints_a_batch():
    images = torch.stack(pictures(torch.uint8))
    model = ModelSpec("tiny", steps=1, serving="local")
    painted = BatchInpaint(BBoxInpaint(model, prompts="a red blood cell", p=1.0, seed=0))(images, BOXES, LABELS)
    assert not torch.equal(painted[0], images[0])
    assert torch.equal(outside(painted[0], BOXES[0]), outside(images[0], BOXES[0]))


def test_labels_may_be_arrays(inverting):
    paint = BatchInpaint(BBoxInpaint(spec("arrays", serving="local"), class_names=["a", "b", "c"], p=1.0))
    images = pictures(torch.uint8)
    painted = paint(images, BOXES, [np.array([1]), np.zeros(0, int), [np.int64(2)]])
    assert [torch.equal(old, new) for old, new in zip(images, painted, strict=True)] == [False, True, False]


def test_each_image_is_decided_on_its_own(inverting):
    images = pictures(torch.uint8)[:1] * 40
    painted = painter("each", p=0.5)(images, BOXES[:1] * 40)
    assert 0 < sum(torch.equal(image, images[0]) for image in painted) < 40


def test_seed_gives_the_edits_of_the_transform(inverting):
    images = pictures(torch.uint8) * 6
    boxes = [BOXES[0]] * len(images)
    paint = painter("same", p=0.5, seed=5)
    plain = A.Compose([paint.transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    for epoch in range(3):
        paint.transform.set_epoch(epoch)
        for image, painted in zip(images, paint(images, boxes, [[1]] * len(images)), strict=True):
            alone = plain(image=image.permute(1, 2, 0).numpy(), bboxes=boxes[0].numpy(), labels=[1])["image"]
            assert np.array_equal(painted.permute(1, 2, 0).numpy(), alone)


def test_errors_follow_the_transform(inverting):
    images = pictures(torch.uint8)
    model = spec("policy", serving="shared", timeout_s=60)
    broken = BBoxInpaint(model, prompts="raise no luck", p=1.0)
    with pytest.raises(InpaintError, match="no luck"):
        BatchInpaint(broken)(images, BOXES)
    skipping = BBoxInpaint(model, prompts="raise no luck", p=1.0, on_error="skip")
    with pytest.warns(RuntimeWarning, match="no luck"):
        kept = BatchInpaint(skipping)(images, BOXES)
    assert all(torch.equal(a, b) for a, b in zip(kept, images, strict=True))
    assert skipping.stats()["errors"] == 1


@pytest.mark.parametrize(
    ("images", "boxes", "labels", "error", "message"),
    [
        (torch.zeros(3, 8, 8), BOXES, None, ValueError, r"\(B, C, H, W\)"),
        (np.zeros((3, 3, 8, 8)), BOXES, None, TypeError, "ndarray"),
        (torch.zeros(3, 3, 8, 8, dtype=torch.float16), BOXES, None, TypeError, "float16"),
        ([torch.zeros(8, 8)] * 3, BOXES, None, ValueError, r"images\[0\]"),
        (torch.zeros(2, 3, 8, 8), BOXES, None, ValueError, "boxes must be a list"),
        (torch.zeros(3, 3, 8, 8), BOXES, [[1]], ValueError, "labels must be a list"),
        (torch.zeros(3, 3, 64, 64), BOXES, [[1, 2], [], [3]], ValueError, r"labels\[0\] has 2"),
        (torch.zeros(1, 3, 8, 8), [torch.zeros(2, 5)], None, ValueError, r"boxes\[0\]"),
        (torch.zeros(1, 3, 8, 8), [[[0, 0, 4, 4]]], None, TypeError, r"boxes\[0\]"),
        (torch.zeros(3, 64, 64, 3), BOXES, None, ValueError, r"images\[0\] has shape \(64, 64, 3\); give \(C, H, W\)"),
        (
            torch.zeros(1, 3, 8, 8),
            [torch.full((2, 4), 0.5)],
            None,
            ValueError,
            r"boxes\[0\] has no corner beyond 1",
        ),
    ],
)
def test_wrong_batches_are_named(images, boxes, labels, error, message):
    with pytest.raises(error, match=message):
        painter("wrong")(images, boxes, labels)


def test_wrong_transforms_are_named():
    with pytest.raises(TypeError, match="Compose"):
        BatchInpaint(A.Compose([BBoxInpaint()]))
    with pytest.raises(ValueError, match="prompt_key"):
        BatchInpaint(BBoxInpaint(prompt_key="weather"))
