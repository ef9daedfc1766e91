"""Several images, masks and labels of one sample, and replays on another."""

from __future__ import annotations

import itertools
import json

import albumentations as A
import numpy as np
import pytest
from painters import Painter

from inpaint_transform import BBoxInpaint

IMAGE = np.random.default_rng(0).integers(60, 256, (120, 200, 3), np.uint8)
DARK = IMAGE // 8
BOXES = [[20, 30, 80, 80], [100, 20, 140, 90]]
MASK = np.ones((120, 200), np.uint8)


def compose(transform, cls=A.Compose, fields=("labels",), **options):
    return cls([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=list(fields)), **options)


def paint(**arguments):
    return BBoxInpaint(**{"prompts": "a {label}", "num_boxes": 2, "feather": 0.0, "p": 1.0, "seed": 0, **arguments})


def bright(original, painted, label, box):
    """A gate that rejects what is painted into a dark picture."""
    return bool(original.mean() > 60)


def changed(after, before):
    return bool((np.asarray(after) != np.asarray(before)).any())


TARGETS = {
    "image2": lambda other: {"image": IMAGE, "image2": other},
    "images": lambda other: {"images": np.stack([IMAGE, other])},
    "image and images": lambda other: {"image": IMAGE, "images": np.stack([other, IMAGE])},
    "volume": lambda other: {"volume": np.stack([IMAGE, other, IMAGE])},
    "volumes": lambda other: {"volume": np.stack([IMAGE] * 2), "volumes": np.stack([[IMAGE, IMAGE], [other, IMAGE]])},
}


@pytest.mark.parametrize("targets", list(TARGETS))
@pytest.mark.parametrize("other", [IMAGE, DARK], ids=["all accepted", "one rejected"])
def test_an_edit_is_in_all_images_or_in_none(painter: Painter, targets: str, other) -> None:
    transform = paint(gate=bright, retries=0, stale="clear")
    data = {**TARGETS[targets](other), "mask": MASK, "bboxes": BOXES, "labels": ["a", "b"]}
    accepted = other is IMAGE
    # The order of the keywords is nobody's business.
    for keys in itertools.islice(itertools.permutations(data), 0, None, 17):
        pipeline = compose(transform, additional_targets={"image2": "image"})
        result = pipeline(**{key: data[key] for key in keys})
        for key in TARGETS[targets](other):
            pictures = np.reshape(data[key], (-1, 120, 200, 3))
            for after, before in zip(np.reshape(result[key], (-1, 120, 200, 3)), pictures, strict=True):
                assert changed(after, before) == accepted
        assert (result["mask"] == 0).any() == accepted
        assert result["labels"] == ["a", "b"]


def test_all_images_are_painted_in_one_call(painter: Painter) -> None:
    pipeline = compose(paint(), additional_targets={"image2": "image"})
    pipeline(image=IMAGE, image2=IMAGE, images=np.stack([IMAGE] * 3), bboxes=BOXES, labels=["a", "b"])
    assert [len(call) for call in painter.calls] == [10]


@pytest.mark.parametrize("targets", list(TARGETS))
def test_new_labels_for_several_images_are_refused(painter: Painter, targets: str) -> None:
    pipeline = compose(paint(relabel={"a": "z"}), additional_targets={"image2": "image"})
    with pytest.raises(ValueError, match="relabel needs a single image"):
        pipeline(**TARGETS[targets](IMAGE), bboxes=BOXES, labels=["a", "b"])


def test_new_labels_need_labels(painter: Painter) -> None:
    with pytest.raises(ValueError, match="relabel writes new labels, but the sample has none"):
        compose(paint(prompts="a", relabel={"a": "z"}), fields=())(image=IMAGE, bboxes=BOXES)


def test_masks_of_all_kinds_are_cleared_where_it_was_painted(painter: Painter) -> None:
    stack = np.stack([IMAGE, IMAGE])
    data = {
        "volume": stack,
        "mask3d": np.stack([MASK, MASK]),
        "masks3d": np.ones((3, 2, 120, 200), np.uint8),
        "mask": MASK,
        "masks": np.stack([MASK, MASK]),
        "lanes": MASK,
    }
    pipeline = compose(paint(stale="clear"), additional_targets={"lanes": "mask"})
    result = pipeline(**data, bboxes=BOXES, labels=["a", "b"])
    inside = np.zeros((120, 200), bool)
    for x0, y0, x1, y1 in BOXES:
        inside[y0:y1, x0:x1] = True
    for key in set(data) - {"volume"}:
        for mask in np.reshape(result[key], (-1, 120, 200)):
            assert np.array_equal(mask == 0, inside)
        assert np.asarray(data[key]).all()


def test_a_mask_field_names_the_mask_that_stays_true(painter: Painter) -> None:
    masks = np.zeros((3, 120, 200), np.uint8)
    for position, (x0, y0, x1, y1) in ((2, BOXES[0]), (0, BOXES[1])):
        masks[position, y0 + 5 : y1 - 5, x0 + 5 : x1 - 5] = 1
    masks[1, 40:60, 30:50] = 1  # on the first object
    transform = paint(shape="mask", mask_field="mask_id", stale="clear", mask_dilation=0.0, protect=False)
    result = compose(transform, fields=("labels", "mask_id"))(
        image=IMAGE, masks=masks, bboxes=BOXES, labels=["a", "b"], mask_id=[2, 0]
    )
    assert np.array_equal(result["masks"][2], masks[2])
    assert np.array_equal(result["masks"][0], masks[0])
    assert result["masks"][1].sum() == 0


# Replays


@pytest.fixture
def recorded(painter: Painter):
    pipeline = compose(paint(seed=None, relabel={"a": "z", "b": "y"}), A.ReplayCompose)
    result = pipeline(image=IMAGE, bboxes=BOXES, labels=["a", "b"])
    assert result["labels"] == ["z", "y"]
    return json.loads(json.dumps(result["replay"])), result["image"]


@pytest.mark.parametrize(
    ("boxes", "labels", "after"),
    [
        (BOXES, ["a", "b"], ["z", "y"]),
        (BOXES[::-1], ["b", "a"], ["y", "z"]),
        ([*BOXES, [150, 10, 190, 50]], ["a", "b", "a"], ["z", "y", "a"]),
        ([[150, 10, 190, 50]], ["a"], ["a"]),
        ([[21, 30, 80, 80], BOXES[1]], ["a", "b"], ["a", "y"]),
        (BOXES, ["a", "tree"], ["z", "tree"]),
        (BOXES, ["c", "d"], ["c", "d"]),
        ([], [], []),
    ],
    ids=["same", "other order", "one more", "elsewhere", "moved", "other label", "other labels", "none"],
)
def test_a_replay_renames_what_it_paints_and_nothing_else(recorded, boxes, labels, after) -> None:
    replay, image = recorded
    result = A.ReplayCompose.replay(replay, image=IMAGE, bboxes=boxes, labels=labels)
    assert result["labels"] == after
    assert np.array_equal(result["image"], image)


# What cannot be painted


@pytest.mark.parametrize("box", [[20, 30, 80, 80], [90, 90, 95, 95]], ids=["a box", "one too small"])
def test_a_tensor_is_refused_whatever_its_boxes(painter: Painter, box) -> None:
    from albumentations.pytorch import ToTensorV2

    pipeline = A.Compose([ToTensorV2(), paint()], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    with pytest.raises(TypeError, match=r"image is a Tensor; .* before ToTensorV2"):
        pipeline(image=IMAGE, bboxes=[box], labels=["a"])


def test_a_bare_call_takes_boxes_as_shares(painter: Painter) -> None:
    rows = np.array([[0.1, 0.25, 0.4, 0.6666667]])
    for given in (rows, rows.astype(np.float32), rows.tolist()):
        result = paint(prompts="a thing")(image=IMAGE, bboxes=given, other="kept")
        painted = (result["image"] != IMAGE).any(axis=2)
        assert painted[30:80, 20:80].mean() > 0.95
        painted[30:80, 20:80] = False
        assert not painted.any()
        assert result["bboxes"] is given
        assert result["other"] == "kept"
    for pixels in ([[20, 30, 80, 80]], [[0.1, 0.2, 0.4, 1.2]], [[-0.5, 0.2, 0.4, 0.6]]):
        with pytest.raises(ValueError, match=r"bboxes came without A\.Compose"):
            paint(prompts="a thing")(image=IMAGE, bboxes=pixels)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_generic_dual_transform(painter: Painter, p: float) -> None:
    """What Albumentations' own tests ask of every dual transform, in a bare call."""
    image = np.random.default_rng(1).integers(0, 256, (3, 100, 110), np.uint8).transpose(1, 2, 0)
    data = {
        "image": image,
        "mask": np.ones((110, 100), np.uint8).T,
        "masks": np.ones((2, 100, 110), np.uint8),
        "bboxes": np.array([[0.1, 0.1, 0.6, 0.7, 1.0], [0.6, 0.6, 0.9, 0.9, 2.0]], np.float32),
        "keypoints": np.array([[10.0, 20.0, 0.0, 1.0]], np.float32),
    }
    before = {key: value.copy() for key, value in data.items()}
    result = paint(prompts="a puddle", p=p)(**data)
    assert (result["image"] != image).any() == (p == 1)
    for key, value in data.items():
        assert np.array_equal(value, before[key])
        assert (result[key].shape, result[key].dtype) == (value.shape, value.dtype)
        assert result[key].flags.c_contiguous or p == 0
        if key != "image":
            assert np.array_equal(result[key], value)
    for more in ({"images": np.stack([image] * 3)}, {"volume": np.stack([image] * 3)}):
        again = paint(prompts="a puddle")(**more, bboxes=data["bboxes"])
        [stack] = (again[key] for key in more)
        assert np.array_equal(stack[0], stack[2])
        assert (stack[0] != image).any()
    grey = paint(prompts="a puddle", when_no_box="random")(image=np.full((100, 110), 90, np.uint8))["image"]
    assert grey.shape == (100, 110)
    assert (grey != 90).any()
