"""Several images, masks and labels of one sample, as torchvision nests them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import vision  # noqa: F401 - before anything of torchvision
from painters import Painter
from torchvision import tv_tensors

from inpaint_transform.faces.torchvision import BBoxInpaint

SIZE = (120, 200)
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(60, 256, (3, *SIZE), np.uint8))
BOXES = tv_tensors.BoundingBoxes([[20, 30, 80, 80], [100, 20, 140, 90]], format="XYXY", canvas_size=SIZE)


def paint(**arguments):
    return BBoxInpaint(**{"prompts": "a {label}", "num_boxes": 2, "feather": 0.0, "p": 1.0, "seed": 0, **arguments})


def bright(original, painted, label, box):
    return bool(original.mean() > 60)


@pytest.mark.parametrize("accepted", [True, False])
def test_an_edit_is_in_all_images_or_in_none(painter: Painter, accepted: bool) -> None:
    other = PIXELS if accepted else PIXELS // 8
    data = {
        "image": tv_tensors.Image(PIXELS),
        "video": tv_tensors.Video(torch.stack([PIXELS, other])),
        "boxes": BOXES,
        "labels": ["a", "b"],
        "mask": tv_tensors.Mask(torch.ones(SIZE, dtype=torch.uint8)),
    }
    result = paint(gate=bright, retries=0, stale="clear")(data)
    assert [len(call) for call in painter.calls] == [6]
    for key in ("image", "video", "mask"):
        assert (result[key] is data[key]) == (not accepted)
    if accepted:
        assert all((after != before).any() for after, before in zip(result["video"], data["video"], strict=True))
        assert (result["mask"][30:80, 20:80] == 0).all()


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"video": tv_tensors.Video(torch.stack([PIXELS, PIXELS])), "labels": ["a", "b"]}, "a single image"),
        ({"image": tv_tensors.Image(PIXELS)}, "relabel writes new labels, but the sample has none"),
    ],
    ids=["several images", "no labels"],
)
def test_new_labels_without_a_place_are_refused(painter: Painter, sample: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        paint(prompts="a", relabel={"a": "z"})({**sample, "boxes": BOXES})


def test_a_mask_field_names_the_mask_that_stays_true(painter: Painter) -> None:
    masks = torch.zeros((3, *SIZE), dtype=torch.uint8)
    for position, (x0, y0, x1, y1) in ((2, BOXES[0].tolist()), (0, BOXES[1].tolist())):
        masks[position, y0 + 5 : y1 - 5, x0 + 5 : x1 - 5] = 1
    masks[1, 40:60, 30:50] = 1  # on the first object
    target = {"boxes": BOXES, "labels": ["a", "b"], "mask_id": [2, 0], "masks": tv_tensors.Mask(masks)}
    transform = paint(shape="mask", mask_field="mask_id", stale="clear", mask_dilation=0.0, protect=False)
    _, result = transform(tv_tensors.Image(PIXELS), target)
    assert torch.equal(result["masks"][2], masks[2])
    assert torch.equal(result["masks"][0], masks[0])
    assert result["masks"][1].sum() == 0


# What nobody would find


@pytest.mark.parametrize(
    "sample",
    [
        (tv_tensors.Image(PIXELS), [{"bbox": [20.0, 30.0, 60.0, 50.0], "category_id": 1}]),
        {"image": tv_tensors.Image(PIXELS), "objects": {"bbox": [[20.0, 30.0, 60.0, 50.0]], "category": [1]}},
        {"image": tv_tensors.Image(PIXELS), "gt_bboxes": torch.tensor([[20.0, 30.0, 80.0, 80.0]])},
        (tv_tensors.Image(PIXELS), torch.tensor([[20.0, 30.0, 80.0, 80.0]]), torch.tensor([1])),
        (tv_tensors.Image(PIXELS), {"boxes": np.array([[20.0, 30.0, 80.0, 80.0]]), "labels": ["a"]}),
    ],
    ids=["CocoDetection", "Hugging Face", "MMDetection", "plain tensors", "an array"],
)
def test_boxes_that_nobody_would_find_are_refused(painter: Painter, sample) -> None:
    with pytest.raises(ValueError, match=r"wrap it: tv_tensors\.BoundingBoxes.*wrap_dataset_for_transforms_v2"):
        paint(prompts="a")(sample)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (1, 0)])
def test_empty_boxes_of_any_shape_are_no_boxes(painter: Painter, shape) -> None:
    empty = tv_tensors.BoundingBoxes(torch.zeros(shape), format="XYXY", canvas_size=SIZE)
    sample = (tv_tensors.Image(PIXELS), {"boxes": empty, "labels": torch.zeros(0)})
    assert paint(relabel={1: 2}, class_names={1: "a", 2: "b"})(*sample)[0] is sample[0]
    assert paint()({"image": sample[0], "boxes": torch.zeros(0, 4)})["image"] is sample[0]


def test_an_array_as_an_image_is_refused(painter: Painter) -> None:
    image = np.ascontiguousarray(PIXELS.permute(1, 2, 0).numpy())
    with pytest.raises(TypeError, match=r"numpy array \(120, 200, 3\).*place v2\.ToImage\(\) before"):
        paint()(image, {"boxes": BOXES, "labels": ["a", "b"]})


def test_samples_without_an_image_are_said_once_and_counted(painter: Painter) -> None:
    transform = paint()
    with pytest.warns(RuntimeWarning, match="none of 100 samples had a box that may be painted.*no image 100") as said:
        for _ in range(120):
            transform({"boxes": BOXES, "labels": ["a", "b"], "grey": torch.zeros(SIZE)})
    assert len(said) == 1
    assert transform.stats()["unpainted"] == {"samples": 120, "no image": 120}
