"""What of a box is painted, and what becomes of annotations in it, through Albumentations."""

from __future__ import annotations

import json

import albumentations as A
import numpy as np
import pytest
from painters import Painter

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.masks import dilated

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOXES = [[20, 30, 80, 90], [70, 20, 150, 80]]  # they overlap


def instance(box, shape=(120, 200)):
    """The ellipse in a box."""
    mask = np.zeros(shape, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    x0, y0, x1, y1 = box
    inside = ((x - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 <= 1
    mask[inside] = 1
    return mask


MASKS = [instance(box) for box in BOXES]


def compose(transform, **options):
    return A.Compose(
        [transform],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", *options.pop("fields", [])]),
        keypoint_params=A.KeypointParams("xy", label_fields=["joints"]),
        **options,
    )


def run(transform, **more):
    keypoints = more.pop("keypoints", [])
    joints = list(range(len(keypoints)))
    return transform(image=IMAGE.copy(), bboxes=BOXES, labels=["a", "b"], keypoints=keypoints, joints=joints, **more)


def changed(result):
    return (result["image"] != IMAGE).any(axis=2)


def region(box):
    mask = np.zeros((120, 200), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def paint(**arguments):
    return BBoxInpaint(prompts="a thing", **{"p": 1.0, "include_labels": ["a"], "feather": 0.0, **arguments})


def test_a_neighbour_keeps_its_pixels(painter: Painter) -> None:
    both = region(BOXES[0]) & region(BOXES[1])
    protected = changed(run(compose(paint())))
    assert not protected[both].any()
    assert protected[region(BOXES[0]) & ~both].mean() > 0.95
    assert changed(run(compose(paint(protect=False))))[both].mean() > 0.95


def test_with_masks_a_neighbour_keeps_its_object_only(painter: Painter) -> None:
    result = changed(run(compose(paint()), masks=MASKS))
    assert not result[MASKS[1] == 1].any()
    assert result[region(BOXES[0]) & (MASKS[1] == 0)].mean() > 0.95


@pytest.mark.parametrize("kind", ["list", "array"])
def test_shape_mask_paints_the_grown_object(painter: Painter, kind: str) -> None:
    masks = np.stack(MASKS) if kind == "array" else MASKS
    result = run(compose(paint(shape="mask", mask_dilation=0.1, protect=False)), masks=masks)
    grown = np.zeros((120, 200), bool)
    grown[30:90, 20:80] = dilated(MASKS[0], tuple(BOXES[0]), 0.1)
    assert grown.sum() > MASKS[0].sum()
    assert not changed(result)[~grown].any()
    assert changed(result)[grown].mean() > 0.95
    assert np.array_equal(np.stack(result["masks"]), np.stack(MASKS))
    run(compose(paint(protect=False)), masks=masks)
    grown_asked, box_asked = (call[0].mask for call in painter.calls)
    assert not (grown_asked & ~box_asked).any()
    assert grown_asked.sum() < box_asked.sum()  # the corners


def test_masks_in_another_order_go_by_a_field(painter: Painter) -> None:
    everything = [np.zeros((120, 200), np.uint8), MASKS[1], MASKS[0]]
    transform = compose(paint(shape="mask", protect=False, mask_field="mask_id"), fields=["mask_id"])
    result = changed(run(transform, masks=everything, mask_id=[2, 1]))
    assert result[MASKS[0] == 1].mean() > 0.95
    assert not result[100:].any()
    with pytest.raises(ValueError, match="3 masks for 2 boxes"):
        run(compose(paint(shape="mask")), masks=everything)
    assert changed(run(compose(paint()), masks=everything)).any()  # only shape="mask" needs them


def test_an_object_without_pixels_is_not_painted(painter: Painter) -> None:
    empty = [np.zeros((120, 200), np.uint8), MASKS[1]]
    assert not changed(run(compose(paint(shape="mask")), masks=empty)).any()


def test_without_masks_the_box_is_the_shape(painter: Painter) -> None:
    assert changed(run(compose(paint(shape="mask", protect=False))))[region(BOXES[0])].mean() > 0.95


def test_masks_replay_from_json(painter: Painter) -> None:
    replay = A.ReplayCompose(
        [paint(shape="mask", seed=1)], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"])
    )
    first = replay(image=IMAGE.copy(), bboxes=BOXES, labels=["a", "b"], masks=MASKS)
    again = A.ReplayCompose.replay(
        json.loads(json.dumps(first["replay"])), image=IMAGE.copy(), bboxes=BOXES, labels=["a", "b"]
    )
    assert changed(first).any()
    assert np.array_equal(first["image"], again["image"])


POINTS = [(50.0, 60.0), (75.0, 50.0), (120.0, 50.0), (5.0, 5.0)]


def test_stale_keep_passes_everything_on(painter: Painter) -> None:
    semantic = instance(BOXES[0]) + 2 * instance((150, 90, 190, 110))
    result = run(compose(paint()), mask=semantic, masks=MASKS, keypoints=POINTS)
    assert np.array_equal(result["mask"], semantic)
    assert np.array_equal(np.stack(result["masks"]), np.stack(MASKS))
    assert list(result["joints"]) == [0, 1, 2, 3]


def test_stale_clear_forgets_what_was_painted_over(painter: Painter) -> None:
    semantic = np.full((120, 200), 3, np.uint8)
    result = run(compose(paint(stale="clear", protect=False)), mask=semantic, masks=MASKS, keypoints=POINTS)
    box = region(BOXES[0])
    assert (result["mask"][box] == 0).all()
    assert (result["mask"][~box] == 3).all()
    for got, mask in zip(result["masks"], MASKS, strict=True):
        assert np.array_equal(got, np.where(box, 0, mask))
    assert list(result["joints"]) == [2, 3]
    assert (semantic == 3).all()


def test_stale_clear_keeps_the_objects_own_mask_where_it_gave_the_shape(painter: Painter) -> None:
    result = run(compose(paint(stale="clear", shape="mask", protect=False)), masks=MASKS)
    assert np.array_equal(result["masks"][0], MASKS[0])
    assert result["masks"][1].sum() < MASKS[1].sum()


def test_stale_clear_of_a_rejected_edit_clears_nothing(painter: Painter) -> None:
    painter.rejects = 9
    result = run(compose(paint(stale="clear")), mask=MASKS[0], keypoints=POINTS)
    assert np.array_equal(result["mask"], MASKS[0])
    assert list(result["joints"]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("more", "paints"),
    [
        ({}, True),
        ({"keypoints": [(120.0, 50.0)]}, True),
        ({"keypoints": [(50.0, 60.0)]}, False),
        ({"mask": MASKS[0]}, False),
        ({"mask": instance((150, 90, 190, 110))}, True),
        ({"masks": MASKS}, False),
    ],
    ids=["nothing", "a point elsewhere", "a point", "a mask", "a mask elsewhere", "instances"],
)
def test_stale_skip_leaves_annotated_boxes_alone(painter: Painter, more, paints: bool) -> None:
    assert changed(run(compose(paint(stale="skip")), **more)).any() == paints


def test_the_schedule_follows_the_epochs(painter: Painter) -> None:
    transform = paint(schedule={"epochs": 6, "start": 1, "off_last": 2})
    fires = []
    for epoch in range(6):
        transform.set_epoch(epoch)
        fires.append(bool(changed(run(compose(transform))).any()))
    assert fires == [False, True, True, True, False, False]


@pytest.mark.parametrize("seed", [None, 3])
def test_the_schedule_scales_p_and_box_p(painter: Painter, seed) -> None:
    for scales, arguments in (("p", {}), ("box_p", {"box_p": 1.0})):
        transform = compose(
            paint(schedule={"epochs": 100, "warmup": 99, "scales": scales}, seed=seed, **arguments), seed=5
        )
        transform.transforms[0].set_epoch(29)
        hits = 0
        for number in range(200):
            image = IMAGE.copy()
            image[0, 0] = number
            result = transform(image=image, bboxes=BOXES, labels=["a", "b"], keypoints=[], joints=[])
            hits += bool((result["image"] != image).any())
        assert 35 <= hits <= 85  # 0.3 of 200


def test_every_label_has_its_own_probability(painter: Painter) -> None:
    transform = compose(paint(include_labels=None, box_p={"b": 1.0}))
    for _ in range(5):
        result = changed(run(transform))
        assert result[region(BOXES[1])].any()
        assert not result[~region(BOXES[1])].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "circle"}, "shape='circle'"),
        ({"mask_dilation": -0.1}, "mask_dilation=-0.1"),
        ({"protect": "yes and no"}, "protect"),
        ({"stale": "drop"}, "stale='drop'"),
        ({"box_p": {"a": 2}}, "box_p={'a': 2"),
        ({"log": 3}, "log=3"),
        ({"schedule": {"warmup": 1}}, "schedule={'warmup': 1}"),
        ({"relabel": {}}, "relabel={}"),
        ({"gate": "clip"}, "gate='clip'"),
        ({"gate": {"gate": "x"}}, "there is no gate 'x'"),
    ],
)
def test_bad_arguments_are_named(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paint(**arguments)
