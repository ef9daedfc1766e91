from __future__ import annotations

import copy
import math
import pathlib
import pickle
import random
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
import vision  # noqa: F401 - before anything of torchvision
from contract import BOXES, IMAGE, Contract, Face, Result
from painters import Painter, hand_in
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader
from torchvision import datasets, tv_tensors
from torchvision.transforms import v2

import inpaint_transform
from inpaint_transform.batch import BatchInpaint, ConcurrentDataset
from inpaint_transform.faces.torchvision import BBoxInpaint

SIZE = IMAGE.shape[:2]
CHW = torch.from_numpy(IMAGE).permute(2, 0, 1)
FORMATS = [box_format.name for box_format in tv_tensors.BoundingBoxFormat]
ROTATED = ["XYWHR", "CXCYWHR", "XYXYXYXY"]


def boxes_of(rows: Any = BOXES, box_format: str = "XYXY", size: tuple[int, int] = SIZE, dtype=torch.float32) -> Any:
    tensor = torch.as_tensor(rows, dtype=dtype).reshape(len(rows), -1 if len(rows) else 4)
    return tv_tensors.BoundingBoxes(tensor, format=box_format, canvas_size=size)


def sample(labels: Any = ("cat", "dog"), image: Any = None, boxes: Any = None) -> tuple[Any, dict[str, Any]]:
    return (
        tv_tensors.Image(CHW) if image is None else image,
        {"boxes": boxes_of() if boxes is None else boxes, "labels": labels},
    )


def pixels(image: Any) -> np.ndarray:
    """``(H, W, C)``."""
    array = np.asarray(image)
    if isinstance(image, torch.Tensor):
        return array.transpose(1, 2, 0)
    return array if array.ndim == 3 else array[:, :, None]


class Torchvision(Face):
    transform = BBoxInpaint
    module = "inpaint_transform.faces.torchvision"
    absent = ("diffusers", "transformers", "albumentations")
    before_import = "import vision"

    def ready(self, transform, seed=None):
        if seed is not None:
            torch.manual_seed(seed)
        return transform

    def call(self, ready, image, boxes, labels, **more) -> Result:
        target = {"boxes": boxes_of(boxes, size=image.shape[:2]), **more}
        target["labels"] = torch.tensor(labels) if labels and isinstance(labels[0], int) else labels
        before = target["boxes"].clone()
        painted, same = ready(tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)), target)
        assert list(same) == list(target)
        tensors = [key for key, value in target.items() if isinstance(value, torch.Tensor)]
        assert all(same[key] is target[key] for key in tensors if key != "labels" or not ready.relabel)
        assert torch.equal(same["boxes"], before)
        return Result(pixels(painted), np.asarray(same["boxes"]), [*np.asarray(same["labels"]).tolist()])


class TestTorchvision(Contract):
    face = Torchvision()


# torchvision's own generic check


def mixed_sample() -> dict[str, Any]:
    height, width = SIZE

    def boxes(box_format: str, count: int) -> Any:
        corners = [[10 + 20 * number, 10, 50 + 20 * number, 60] for number in range(count)]
        return v2.functional.convert_bounding_box_format(boxes_of(corners), new_format=box_format)

    return {
        "image_tv_tensor": tv_tensors.Image(CHW.clone()),
        "video": tv_tensors.Video(torch.stack([CHW, CHW.flip(1)])),
        "image_pil": PIL.Image.fromarray(IMAGE),
        "boxes_xyxy": boxes("XYXY", 3),
        "boxes_xywh": boxes("XYWH", 4),
        "boxes_cxcywh": boxes("CXCYWH", 5),
        "boxes_degenerate": boxes_of([[0, 0, 0, 0], [0, 0, 0, 1], [2, 0, 1, 1], [0, 2, 1, 1], [2, 2, 1, 1]]),
        "detection_mask": tv_tensors.Mask(torch.zeros(5, height, width, dtype=torch.bool)),
        "segmentation_mask": tv_tensors.Mask(torch.zeros(height, width, dtype=torch.int64)),
        "int": 0,
        "float": 0.0,
        "bool": True,
        "none": None,
        "str": "str",
        "path": pathlib.Path.cwd(),
        "object": object(),
        "tensor": torch.empty(5),
        "array": np.empty(5),
    }


KINDS = {
    "Image": lambda: tv_tensors.Image(CHW.clone()),
    "Video": lambda: tv_tensors.Video(torch.stack([CHW, CHW])),
    "PIL": lambda: PIL.Image.fromarray(IMAGE),
    "tensor": lambda: CHW.clone(),
}


@pytest.mark.parametrize("container", [dict, list, tuple])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("pickled", [False, True])
def test_the_generic_check(painter: Painter, container, kind: str, pickled: bool) -> None:
    transform = BBoxInpaint(prompts="a thing", p=1.0)
    transform = pickle.loads(pickle.dumps(transform)) if pickled else transform
    data: Any = {"input": KINDS[kind](), **mixed_sample()}
    data = data if container is dict else container(data.values())
    flat, structure = tree_flatten(data)
    output_flat, output_structure = tree_flatten(transform(data))
    assert output_structure == structure
    painted = 0
    for given, needed, got in zip(flat, v2.Transform()._needs_transform_list(flat), output_flat, strict=True):
        image = isinstance(given, tv_tensors.Image | tv_tensors.Video | PIL.Image.Image)
        if needed and image:
            assert type(got) is type(given)
            painted += got is not given
        else:
            assert got is given
    assert painted == 3 + (kind != "tensor")


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_image_on_its_own_passes(painter: Painter, kind: str) -> None:
    image = KINDS[kind]()
    assert BBoxInpaint(p=1.0)(image) is image
    painted = BBoxInpaint(prompts="a puddle", when_no_box="random", p=1.0)(image)
    assert isinstance(painted, type(image))
    assert (np.asarray(painted) != np.asarray(image)).any()
    assert np.array_equal(np.asarray(image), np.asarray(KINDS[kind]()))


# Boxes


ROWS = {
    "XYXY": [40, 30, 120, 80],
    "XYWH": [40, 30, 80, 50],
    "CXCYWH": [80, 55, 80, 50],
    "XYWHR": [50, 70, 80, 40, 30],
    "CXCYWHR": [90, 60, 80, 40, -20],
    "XYXYXYXY": [60, 20, 130, 50, 110, 95, 40, 65],
}


def inside(box_format: str) -> np.ndarray:
    """Which pixels have their centre in the box, from OpenCV, and from trigonometry for the rotated formats."""
    row = ROWS[box_format]
    if box_format == "XYXYXYXY":
        corners = np.reshape(row, (4, 2))
    elif box_format in ROTATED:
        width, height, angle = row[2], row[3], math.radians(row[4])
        right = np.array([math.cos(angle), -math.sin(angle)])  # y points down, angles turn against the clock
        down = np.array([math.sin(angle), math.cos(angle)])
        first = row[:2] if box_format == "XYWHR" else row[:2] - right * width / 2 - down * height / 2
        corners = np.array([first, first + right * width, first + right * width + down * height, first + down * height])
    else:
        corners = np.array([[40, 30], [120, 30], [120, 80], [40, 80]])
    polygon = corners.astype(np.float32)[:, None]
    return np.array(
        [
            [cv2.pointPolygonTest(polygon, (x + 0.5, y + 0.5), measureDist=False) >= 0 for x in range(SIZE[1])]
            for y in range(SIZE[0])
        ]
    )


@pytest.mark.parametrize(
    ("box_format", "dtype"),
    [
        *((box_format, dtype) for box_format in FORMATS for dtype in (torch.float32, torch.float64)),
        *((box_format, torch.int64) for box_format in FORMATS if box_format not in ROTATED),
    ],
)
def test_the_edit_fills_the_box_and_stays_in_it(painter: Painter, box_format: str, dtype) -> None:
    boxes = boxes_of([ROWS[box_format]], box_format, dtype=dtype)
    painted, target = BBoxInpaint(feather=0.0, match_border=False, p=1.0)(*sample(["cat"], boxes=boxes))
    changed = (pixels(painted) != IMAGE).any(axis=2)
    wanted = inside(box_format)
    assert not (changed & ~wanted).any()
    assert changed.sum() > 0.98 * wanted.sum()
    assert target["boxes"] is boxes
    assert torch.equal(boxes, boxes_of([ROWS[box_format]], box_format, dtype=dtype))


@pytest.mark.parametrize("box_format", ["CXCYWH", "CXCYWHR"])
def test_an_ellipse_lies_in_the_box(painter: Painter, box_format: str) -> None:
    boxes = boxes_of([ROWS[box_format]], box_format)
    transform = BBoxInpaint(shape="ellipse", feather=0.0, match_border=False, p=1.0)
    painted, _ = transform(*sample(["cat"], boxes=boxes))
    changed = (pixels(painted) != IMAGE).any(axis=2)
    wanted = inside(box_format)
    assert not (changed & ~wanted).any()
    assert changed.sum() / wanted.sum() == pytest.approx(math.pi / 4, abs=0.02)


def test_a_box_beyond_the_canvas_is_clipped(painter: Painter) -> None:
    for boxes in (boxes_of([[150, 60, 260, 160]]), boxes_of([[190, 100, 90, 60, 45]], "CXCYWHR")):
        painted, _ = BBoxInpaint(p=1.0)(*sample(["cat"], boxes=boxes))
        assert (pixels(painted) != IMAGE).any()


# Images


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_pil_images_keep_mode_and_metadata(painter: Painter, mode: str) -> None:
    if mode == "I;16":
        image = PIL.Image.fromarray(IMAGE[:, :, 0].astype(np.uint16) * 257)
    else:
        image = PIL.Image.fromarray(IMAGE).convert(mode)
    image.info["dpi"] = (300, 300)
    before = np.array(image)
    painted, _ = BBoxInpaint(p=1.0)(*sample(image=image))
    assert (painted.mode, painted.size, painted.info) == (mode, image.size, image.info)
    assert (np.asarray(painted) != before).any()
    assert np.array_equal(np.asarray(image), before)


def test_other_pil_modes_are_named(painter: Painter) -> None:
    for mode in ("P", "CMYK", "LA", "1"):
        with pytest.raises(ValueError, match=f"mode '{mode}'"):
            BBoxInpaint(p=1.0)(*sample(image=PIL.Image.fromarray(IMAGE).convert("L").convert(mode)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("kind", [torch.Tensor, tv_tensors.Image])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tensors_keep_type_dtype_and_layout(painter: Painter, dtype, kind, layout) -> None:
    batch = torch.stack([CHW, CHW.flip(2)])
    batch = (batch if dtype is torch.uint8 else batch / 255).to(memory_format=layout)
    batch = batch if kind is torch.Tensor else kind(batch)
    painted, _ = BBoxInpaint(p=1.0, seed=0)(*sample(image=batch))
    assert (type(painted), painted.dtype, painted.shape) == (type(batch), dtype, batch.shape)
    assert painted.is_contiguous(memory_format=layout)
    assert (painted[0] != batch[0]).any()
    assert (painted[1] != batch[1]).any()


def test_other_dtypes_are_named(painter: Painter) -> None:
    for dtype in (torch.float64, torch.bfloat16, torch.int64):
        with pytest.raises(TypeError, match=str(dtype)):
            BBoxInpaint(p=1.0)(*sample(image=CHW.to(dtype)))


def test_all_images_of_a_sample_get_the_same_edit(painter: Painter) -> None:
    first, second, _ = BBoxInpaint(p=1.0)(PIL.Image.fromarray(IMAGE), tv_tensors.Image(CHW), sample()[1])
    assert np.array_equal(np.asarray(first), pixels(second))
    assert len(painter.calls) == 1


def test_the_image_among_plain_tensors(painter: Painter) -> None:
    data = {
        "labels": torch.tensor([3, 7]),
        "area": torch.rand(2),
        "masks": torch.zeros(2, *SIZE, dtype=torch.bool),
        "image": CHW,
        "boxes": boxes_of(),
        "later": CHW.clone(),
    }
    painted = BBoxInpaint(prompts="a thing", p=1.0)(data)
    assert [key for key in data if painted[key] is not data[key]] == ["image"]
    explicit = {**data, "picture": PIL.Image.fromarray(IMAGE)}
    painted = BBoxInpaint(prompts="a thing", p=1.0)(explicit)
    assert [key for key in explicit if painted[key] is not explicit[key]] == ["picture"]


def test_a_sample_that_is_not_painted_is_the_same_object(painter: Painter) -> None:
    data = {"image": tv_tensors.Image(CHW), "target": sample()[1]}
    for transform in (BBoxInpaint(p=0.0), BBoxInpaint(p=1.0, include_labels=["zebra"])):
        assert transform(data) is data
    assert BBoxInpaint(p=1.0)({"no": "image"}) == {"no": "image"}


def test_an_image_that_keeps_its_pixels_is_the_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Painter(rejects=3)
    hand_in(monkeypatch, stand_in)
    image, target = sample()
    rejected, _ = BBoxInpaint(p=1.0)(image, target)
    assert rejected is image
    assert len(stand_in.calls) == 3


# Labels


IMAGE_AND_BOXES = {"image": tv_tensors.Image(CHW), "boxes": boxes_of()}
LAYOUTS = {
    "dict": {**IMAGE_AND_BOXES, "labels": ["cat", "dog"]},
    "any key with label": {**IMAGE_AND_BOXES, "gt_Labels": ("cat", "dog")},
    "category_id": {**IMAGE_AND_BOXES, "category_id": [0, 1]},
    "categories": {**IMAGE_AND_BOXES, "categories": ["cat", "dog"]},
    "image and target": (tv_tensors.Image(CHW), {"boxes": boxes_of(), "labels": torch.tensor([0, 1])}),
    "nested target": {"image": tv_tensors.Image(CHW), "target": {"boxes": boxes_of(), "labels": torch.tensor([0, 1])}},
    "three in a row": (tv_tensors.Image(CHW), boxes_of(), torch.tensor([0, 1])),
    "names in a row": [tv_tensors.Image(CHW), boxes_of(), ["cat", "dog"]],
    "scores before labels": (tv_tensors.Image(CHW), boxes_of(), torch.tensor([0.9, 0.8]), torch.tensor([0, 1])),
    "labels outside": ({"image": tv_tensors.Image(CHW), "boxes": boxes_of()}, ["cat", "dog"]),
    "array": {**IMAGE_AND_BOXES, "label": np.array(["cat", "dog"])},
    "float ids": {**IMAGE_AND_BOXES, "labels": torch.tensor([0.0, 1.0])},
    "tensors": {**IMAGE_AND_BOXES, "labels": [torch.tensor(0), torch.tensor(1)]},
    "the key beside the boxes wins": {
        "labels": ["indoor", "night"],
        "image": tv_tensors.Image(CHW),
        "target": {"boxes": boxes_of(), "category_id": [0, 1]},
    },
    "not the list of all names": {
        **IMAGE_AND_BOXES,
        "label_names": ["cat", "dog", "zebra"],
        "label_ids": torch.tensor([0, 1]),
    },
    "one label for the image": {"image": IMAGE_AND_BOXES["image"], "label": 5, "target": [boxes_of(), ["cat", "dog"]]},
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_labels_are_found(painter: Painter, layout: str) -> None:
    for chosen in ([0, "cat"], [1, "dog"]):
        transform = BBoxInpaint(
            prompts="one {label}",
            class_names={0: "cat", 1: "dog", "cat": "cat", "dog": "dog"},
            include_labels=chosen,
            p=1.0,
        )
        transform(LAYOUTS[layout])
        assert [request.prompt for request in painter.calls[-1]] == [f"one {chosen[1]}"]


def test_label_field_and_labels_getter(painter: Painter) -> None:
    data = {**IMAGE_AND_BOXES, "labels": [1, 2], "meta": {"kind": ["ant", "bee"]}}
    for arguments in ({"label_field": "kind"}, {"labels_getter": lambda data: data["meta"]["kind"]}):
        BBoxInpaint(prompts="{label}", num_boxes=2, p=1.0, **arguments)(data)
        assert [request.prompt for request in painter.calls[-1]] == ["ant", "bee"]
    BBoxInpaint(prompts="a thing", labels_getter=None, p=1.0)(data)
    assert painter.calls[-1][0].prompt == "a thing"
    with pytest.raises(ValueError, match="the sample has no labels"):
        BBoxInpaint(labels_getter=None, p=1.0)(data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"labels_getter": "labels"}, "labels_getter='labels'"),
        ({"label_field": "k", "labels_getter": None}, "label_field"),
    ],
)
def test_a_wrong_getter_is_named(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BBoxInpaint(**arguments)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (sample(["cat"]), "1 labels for 2 boxes"),
        (sample([["cat"], ["dog"]]), "neither a name nor an id"),
        ({"image": CHW, "boxes": torch.tensor(BOXES), "labels": ["cat", "dog"]}, "BoundingBoxes"),
        (sample(boxes=boxes_of(size=(60, 100))), "canvas_size=(60, 100)"),
        (sample(boxes=boxes_of([[20, 30, 10, 80], [0, 0, 50, 50]])), "box 0 is inverted"),
        (sample(boxes=boxes_of([[20, 30, math.nan, 80], [0, 0, 50, 50]])), "not finite"),
    ],
    ids=["count", "lists", "not wrapped", "canvas", "inverted", "nan"],
)
def test_a_wrong_torchvision_sample_is_named(painter: Painter, data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        BBoxInpaint(p=1.0)(data)
    assert said in str(caught.value)
    assert not painter.calls


VOC = """<annotation><filename>a.jpg</filename><size><width>200</width><height>120</height><depth>3</depth></size>
<object><name>{}</name><bndbox><xmin>20</xmin><ymin>30</ymin><xmax>80</xmax><ymax>80</ymax></bndbox></object>
</annotation>"""


def test_a_wrapped_data_set(painter: Painter, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "VOCdevkit/VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    PIL.Image.fromarray(IMAGE).save(root / "JPEGImages/a.jpg")
    (root / "Annotations/a.xml").write_text(VOC.format("dog"))
    (root / "ImageSets/Main/train.txt").write_text("a\n")
    transform = BBoxInpaint(prompts="one {label}", class_names={12: "dog"}, p=1.0)
    plain = datasets.VOCDetection(tmp_path, image_set="train")
    data = datasets.VOCDetection(tmp_path, image_set="train", transforms=v2.Compose([v2.ToImage(), transform]))
    data = datasets.wrap_dataset_for_transforms_v2(data, target_keys=["boxes", "labels"])
    image, target = data[0]
    changed = (pixels(image) != np.asarray(plain[0][0])).any(axis=2)
    assert changed[30:80, 20:80].mean() > 0.9
    assert target["labels"].tolist() == [12]
    assert painter.calls[-1][0].prompt == "one dog"


# Class swaps, masks and keypoints


def swapping(relabel: Any, **arguments: Any) -> BBoxInpaint:
    names = {3: "cat", 7: "dog", 12: "zebra", 300: "gnu", "cat": "cat", "dog": "dog", "a long zebra": "zebra"}
    return BBoxInpaint(**{"class_names": names, "num_boxes": 2, "p": 1.0, "relabel": relabel, **arguments})


@pytest.mark.parametrize(
    ("labels", "after"),
    [
        (["cat", "dog"], ["a long zebra", "dog"]),
        (("cat", "dog"), ("a long zebra", "dog")),
        (np.array(["cat", "dog"]), np.array(["a long zebra", "dog"])),
        (np.array(["cat", "dog"], object), np.array(["a long zebra", "dog"], object)),
        ([3, 7], [12, 7]),
        (torch.tensor([3, 7]), torch.tensor([12, 7])),
        (torch.tensor([3.0, 7.0]), torch.tensor([12.0, 7.0])),
        (np.array([3, 7], np.int16), np.array([12, 7], np.int16)),
        ([torch.tensor(3), torch.tensor(7)], [torch.tensor(12), torch.tensor(7)]),
    ],
)
@pytest.mark.parametrize("nest", [lambda image, target: (image, target), lambda *parts: {"sample": list(parts)}])
def test_new_labels_come_back_in_their_container(painter: Painter, labels, after, nest) -> None:
    before = copy.deepcopy(labels)
    result = swapping({"cat": "a long zebra", 3: 12})(nest(*sample(labels)))
    _, target = result["sample"] if isinstance(result, dict) else result
    assert type(target["labels"]) is type(after)
    assert getattr(target["labels"], "dtype", None) == getattr(after, "dtype", None)
    assert list(target["labels"]) == list(after)
    assert list(labels) == list(before)


@pytest.mark.parametrize(
    ("labels", "relabel"),
    [
        (["cat", "dog"], {"cat": 12}),
        ([3, 7], {3: "zebra"}),
        (torch.tensor([3, 7]), {3: "zebra"}),
        (torch.tensor([3, 7], dtype=torch.uint8), {3: 300}),
        (np.array([3, 7], np.uint8), {3: 300}),
        (np.array(["cat", "dog"]), {"cat": 12}),
    ],
)
def test_a_label_that_its_container_cannot_hold_is_named(painter: Painter, labels, relabel) -> None:
    with pytest.raises(ValueError, match=r"relabel (gives .* cannot hold|has .*, but the labels are)"):
        swapping(relabel, class_names=None, prompts="a thing")(sample(labels))


def test_linked_fields_follow_the_label(painter: Painter) -> None:
    image, target = sample(["cat", "dog"])
    target = {**target, "category_id": torch.tensor([3, 7]), "crowd": [0, 1]}
    linked = {"category_id": {"a long zebra": 12}, "crowd": None}
    _, after = swapping({"cat": "a long zebra"}, linked_fields=linked)(image, target)
    assert (after["category_id"].tolist(), after["crowd"]) == ([12, 7], [0, 1])
    for wrong, said in (({"category_id": {"ant": 1}}, "no value for the label"), ({"kind": {}}, "not a key")):
        with pytest.raises(ValueError, match=said):
            swapping({"cat": "a long zebra"}, linked_fields=wrong)(image, target)


def test_a_swap_that_could_not_be_written_is_refused(painter: Painter) -> None:
    with pytest.raises(ValueError, match="not itself in the sample"):
        swapping({"cat": "a long zebra"}, labels_getter=lambda data: list(data[1]["labels"]))(sample())
    with pytest.raises(ValueError, match="single image"):
        swapping({"cat": "a long zebra"})(sample(image=torch.stack([CHW, CHW])))


def masks_of(*boxes: Any) -> Any:
    masks = torch.zeros(len(boxes), *SIZE, dtype=torch.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    return tv_tensors.Mask(masks)


INSTANCES = ((30, 40, 60, 70), (110, 30, 130, 60))


@pytest.mark.parametrize(("order", "field"), [((0, 1), None), ((1, 0), "position")])
def test_the_edit_stays_in_the_instance_mask(painter: Painter, order, field) -> None:
    image, target = sample()
    target = {**target, "masks": masks_of(*(INSTANCES[number] for number in order)), "position": list(order)}
    arguments = {"shape": "mask", "mask_field": field, "mask_dilation": 0.0, "feather": 0.0, "match_border": False}
    painted, after = BBoxInpaint(include_labels=["dog"], p=1.0, **arguments)(image, target)
    changed = (pixels(painted) != IMAGE).any(axis=2)
    assert changed[30:60, 110:130].mean() > 0.9
    changed[30:60, 110:130] = False
    assert not changed.any()
    assert after["masks"] is target["masks"]


def test_wrong_masks_are_named(painter: Painter) -> None:
    image, target = sample()
    with pytest.raises(ValueError, match="1 masks for 2 boxes"):
        BBoxInpaint(shape="mask", p=1.0)(image, {**target, "masks": masks_of(INSTANCES[0])})
    for positions, said in (([0, 5], "names the mask 5"), (None, "mask_field='at'")):
        data = {**target, "masks": masks_of(*INSTANCES), **({"at": positions} if positions else {})}
        with pytest.raises(ValueError, match=said):
            BBoxInpaint(shape="mask", mask_field="at", p=1.0)(image, data)


def points_of(rows: Any) -> Any:
    return tv_tensors.KeyPoints(torch.tensor(rows, dtype=torch.float32), canvas_size=SIZE)


def test_stale_annotations_are_kept_skipped_or_cleared(painter: Painter) -> None:
    image, target = sample()
    masks, semantic = masks_of(*INSTANCES), tv_tensors.Mask(masks_of((0, 0, 200, 120))[0])
    stale = {"masks": masks, "semantic": semantic, "points": points_of([[40, 50], [190, 110]])}
    arguments = {"include_labels": ["cat"], "feather": 0.0, "match_border": False, "p": 1.0}
    painted, after = BBoxInpaint(**arguments)(image, {**target, **stale})
    assert all(after[key] is stale[key] for key in stale)
    painted, after = BBoxInpaint(stale="clear", **arguments)(image, {**target, **stale})
    assert {key: type(after[key]) for key in stale} == {key: type(value) for key, value in stale.items()}
    assert not after["masks"][0].any()
    assert torch.equal(after["masks"][1], masks[1])
    assert int((after["semantic"] == 0).sum()) == 60 * 50
    assert after["points"].tolist() == [[190, 110]]
    assert (masks[0].any(), semantic.all(), len(stale["points"])) == (True, True, 2)
    for key, value in stale.items():
        assert BBoxInpaint(stale="skip", **arguments)(image, {**target, key: value})[0] is image
    elsewhere = {"masks": masks_of((150, 90, 190, 110)), "points": points_of([[190, 110]])}
    painted, after = BBoxInpaint(stale="skip", **arguments)(image, {**target, **elsewhere})
    assert painted is not image
    with pytest.raises(ValueError, match="fixed number"):
        BBoxInpaint(stale="clear", **arguments)(image, {**target, "points": points_of([[[40, 50]], [[190, 110]]])})


# Randomness


def test_torchs_generator_alone_drives_the_draws(painter: Painter) -> None:
    transform = BBoxInpaint(p=0.5)

    def paint() -> list[bytes]:
        return [pixels(transform(*sample())[0]).tobytes() for _ in range(8)]

    states = random.getstate(), np.random.get_state()[1].tolist()
    torch.manual_seed(3)
    first = paint()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    random.seed(0)
    torch.manual_seed(3)
    assert paint() == first
    assert paint() != first


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_a_seed_paints_what_the_albumentations_face_paints(painter: Painter, p: float) -> None:
    import albumentations as A

    arguments = {"prompts": "{label} {n}", "attributes": {"n": ["a", "b", "c"]}, "seed": 9, "p": p}
    other = A.Compose(
        [inpaint_transform.BBoxInpaint(**arguments)], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"])
    )
    for number in range(10):
        image = np.roll(IMAGE, number, axis=1)
        ours, _ = BBoxInpaint(**arguments)(*sample(image=torch.from_numpy(image).permute(2, 0, 1)))
        theirs = other(image=image, bboxes=BOXES, labels=["cat", "dog"])["image"]
        assert np.array_equal(pixels(ours), theirs)


# As a module


def test_it_registers_nothing(painter: Painter) -> None:
    class Getter(torch.nn.Module):
        weight = torch.nn.Linear(2, 2)

        def forward(self, data: Any) -> Any:
            return data[1]["labels"]

    transform = BBoxInpaint(labels_getter=Getter(), p=1.0)
    assert list(transform.modules()) == [transform]
    assert not transform.state_dict()
    transform(*sample())
    assert list(copy.deepcopy(transform).to("cpu").modules())[1:] == []
    assert not list(v2.Compose([transform]).parameters())


def test_scripting_is_refused() -> None:
    with pytest.raises(RuntimeError, match="cannot be JIT scripted"):
        torch.jit.script(BBoxInpaint())


def test_compiling_breaks_the_graph_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Traced(Painter):
        def paint(self, requests):
            traced.append(torch.compiler.is_compiling())
            return super().paint(requests)

    traced: list[bool] = []
    hand_in(monkeypatch, Traced())
    transform = v2.Compose([BBoxInpaint(p=1.0, seed=0), v2.ToDtype(torch.float32, scale=True)])
    plain, _ = transform(*sample())
    compiled, target = torch.compile(transform, backend="eager")(*sample())
    assert type(compiled) is tv_tensors.Image
    assert torch.equal(plain, compiled)
    assert target["labels"] == ("cat", "dog")
    assert traced == [False, False]


def test_in_a_pipeline_with_other_transforms(painter: Painter) -> None:
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(p=1.0),
            BBoxInpaint(include_labels=["dog"], p=1.0),
            v2.RandomHorizontalFlip(p=1.0),
            v2.SanitizeBoundingBoxes(labels_getter=lambda data: data[1]["ids"]),
        ]
    )
    image, target = sample(["cat", "dog"])
    painted, after = transform(image, {**target, "ids": torch.tensor([0, 1])})
    changed = (pixels(painted) != IMAGE).any(axis=2)
    assert changed[20:90, 100:140].mean() > 0.9
    assert not changed[:, :99].any()
    assert torch.equal(after["boxes"], target["boxes"])


# Whole mini-batches


class Samples(torch.utils.data.Dataset):
    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        image = CHW.clone()
        image[0, 0, 0] = index
        return self.transform(*sample(image=tv_tensors.Image(image)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_workers_mini_batch_at_once_is_the_same(painter: Painter, workers: int) -> None:
    data = Samples(v2.Compose([v2.Identity(), BBoxInpaint(prompts="a thing", seed=3, p=0.5)]))

    def load(dataset: Any) -> list[bytes]:
        batches = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=list)
        return [np.asarray(image).tobytes() for batch in batches for image, _ in batch]

    plain = load(data)
    assert load(ConcurrentDataset(data)) == plain
    assert len(set(plain)) == 12
    with pytest.raises(ValueError, match="no Albumentations transform found"):
        ConcurrentDataset(Samples(v2.Identity()))


def test_a_collated_batch_is_painted(painter: Painter) -> None:
    paint = BatchInpaint(BBoxInpaint(prompts="a thing", p=1.0))
    images = torch.stack([CHW, CHW])
    painted = paint(images, [torch.tensor(BOXES), torch.zeros(0, 4)])
    assert (painted[0] != CHW).any()
    assert torch.equal(painted[1], CHW)
    torch.manual_seed(0)
    first = paint(images, [torch.tensor(BOXES)] * 2)
    torch.manual_seed(0)
    assert torch.equal(paint(images, [torch.tensor(BOXES)] * 2), first)
