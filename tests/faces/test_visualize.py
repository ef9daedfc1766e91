"""Samples and batches as pictures: every form that either face takes and gives, and clear words for what is neither."""

import typing
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import inpaint_transform
from inpaint_transform import visualize, visualize_batch
from inpaint_transform.reports.drawing import PALETTE

PIXELS = np.random.default_rng(0).integers(0, 80, (300, 400, 3), dtype=np.uint8)
BOX = (100, 120, 180, 200)
IN_FORMATS = {
    "pascal_voc": BOX,
    "coco": (100, 120, 80, 80),
    "albumentations": (100 / 400, 120 / 300, 180 / 400, 200 / 300),
    "yolo": (140 / 400, 160 / 300, 80 / 400, 80 / 300),
}


def outlined(picture: Image.Image, colour: tuple[int, int, int] = PALETTE[0]) -> tuple[int, ...]:
    """What lies inside the lowest outline of a colour: the box as it was drawn."""
    rows, columns = np.nonzero((np.array(picture) == colour).all(axis=2))
    bottom = rows.max() - 1  # an outline is two pixels thick
    left, right = columns[rows == rows.max()].min() + 2, columns[rows == rows.max()].max() - 1
    return int(left), int(right), int(bottom)


@pytest.mark.parametrize("box_format", IN_FORMATS)
def test_what_a_compose_returns(box_format: str) -> None:
    train = A.Compose([A.NoOp()], bbox_params=A.BboxParams(box_format, label_fields=["labels"]))
    sample = train(image=PIXELS, bboxes=[IN_FORMATS[box_format]], labels=["car"])
    picture = visualize(sample, box_format)
    assert picture.size == (400, 300)
    assert outlined(picture) == (BOX[0], BOX[2], BOX[3])
    inside = np.s_[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    np.testing.assert_array_equal(np.array(picture)[inside], PIXELS[inside])


def test_all_forms_of_a_sample_look_the_same() -> None:
    tensor = torch.from_numpy(PIXELS).permute(2, 0, 1)
    target = {"boxes": torch.tensor([BOX], dtype=torch.float32), "labels": torch.tensor([1])}
    names = ["cat", "car"]
    forms: list[Any] = [
        {"image": PIXELS, "bboxes": np.array([BOX]), "labels": [1.0]},
        {"image": PIXELS, "target": target},
        (PIXELS, [BOX], [torch.tensor(1)]),
        (PIXELS, [BOX], [np.int64(1)]),
        {"image": tensor, "boxes": [BOX], "labels": np.array([1])},
        {"image": tensor.float() / 255, **target},
        (Image.fromarray(PIXELS), target),
        [PIXELS.astype(np.uint16) * 257, [BOX], (1,)],
        (PIXELS.astype(np.float64) / 255, [BOX], ["car"]),
    ]
    drawn = [np.array(visualize(form, class_names=names if form is not forms[-1] else None)) for form in forms]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_labels_have_colours_and_words() -> None:
    boxes = [(20, 50, 90, 110), (200, 50, 290, 110), (20, 180, 90, 260)]
    plain = np.array(visualize((PIXELS, boxes)))
    worded = np.array(visualize((PIXELS, boxes, ["car", "bus", "car"])))
    assert (plain == PALETTE[1]).all(axis=2).sum() == 0
    assert (worded == PALETTE[0]).all(axis=2).sum() > (worded == PALETTE[1]).all(axis=2).sum() > 0
    assert (plain != worded).any(axis=2)[:50].any()  # the words stand above the boxes


def test_class_names_by_label() -> None:
    sample = (PIXELS, [BOX], ["7"])
    named = np.array(visualize((PIXELS, [BOX], ["car"])))
    np.testing.assert_array_equal(np.array(visualize(sample, class_names={"7": "car"})), named)
    np.testing.assert_array_equal(np.array(visualize((PIXELS, [BOX], [7]), class_names={7: "car"})), named)
    unnamed = np.array(visualize((PIXELS, [BOX], [7]), class_names=["one"]))
    np.testing.assert_array_equal(unnamed, np.array(visualize((PIXELS, [BOX], ["7"]))))
    with pytest.raises(ValueError, match="class_names='car' is one text"):
        visualize((PIXELS, [BOX], [7]), class_names="car")


def test_grey_pictures_and_pictures_without_boxes() -> None:
    for grey in (PIXELS[:, :, 0], PIXELS[:, :, :1], torch.from_numpy(PIXELS[None, :, :, 0].copy())):
        picture = np.array(visualize({"image": grey}))
        np.testing.assert_array_equal(picture, np.repeat(PIXELS[:, :, :1], 3, axis=2))
    assert visualize((PIXELS, [], [])).size == (400, 300)


@given(st.integers(1, 300), st.integers(1, 300))
def test_small_pictures_are_enlarged(height: int, width: int) -> None:
    picture = visualize((np.zeros((height, width, 3), np.uint8), [(0, 0, width, height)], ["a"]))
    assert max(picture.size) == max(256, height, width)
    assert picture.width >= width
    assert picture.height >= height


def test_torchvisions_own_types() -> None:
    pytest.importorskip("vision")
    from torchvision import tv_tensors

    boxes = tv_tensors.BoundingBoxes([[140, 160, 80, 80]], format="CXCYWH", canvas_size=(300, 400))
    image = tv_tensors.Image(torch.from_numpy(PIXELS).permute(2, 0, 1))
    assert outlined(visualize((image, {"boxes": boxes, "labels": torch.tensor([3])}))) == (BOX[0], BOX[2], BOX[3])


def test_a_batch_in_any_form() -> None:
    images = [PIXELS, PIXELS[::-1].copy(), PIXELS]
    boxes, labels = [[BOX], [], [BOX, (1, 1, 60, 60)]], [["car"], [], ["car", "bus"]]
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    targets = [
        {"boxes": torch.tensor(own).reshape(-1, 4), "labels": names} for own, names in zip(boxes, labels, strict=True)
    ]
    forms: list[Any] = [
        [
            {"image": image, "bboxes": own, "labels": names}
            for image, own, names in zip(images, boxes, labels, strict=True)
        ],
        {"image": stacked, "bboxes": boxes, "labels": labels},
        (images, boxes, labels),
        (stacked, targets),
        [stacked, targets],
        tuple(zip(images, targets, strict=True)),
    ]
    drawn = [np.array(visualize_batch(form, columns=2)) for form in forms]
    assert drawn[0].shape == (2 * 300 + 3 * 16, 2 * 400 + 3 * 16, 3)
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])
    assert visualize_batch(forms[0], limit=1).size == (400 + 2 * 16, 300 + 2 * 16)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: visualize(7), TypeError, "int"),
        (lambda: visualize({"picture": PIXELS}), ValueError, "picture"),
        (lambda: visualize((PIXELS, [BOX]), "xyxy"), ValueError, "xyxy"),
        (lambda: visualize((PIXELS, [BOX], [])), ValueError, "1 boxes and 0 labels"),
        (lambda: visualize((PIXELS, [(1, 2, 3)])), ValueError, r"\(1, 3\)"),
        (lambda: visualize((PIXELS, [(9, 9, 1, 1)])), ValueError, "inverted"),
        (lambda: visualize((PIXELS.astype(np.int64), [])), ValueError, "int64"),
        (lambda: visualize((np.zeros((0, 4, 3), np.uint8), [])), ValueError, "shape"),
        (lambda: visualize((np.zeros((8, 8, 7), np.uint8), [])), ValueError, "shape"),
        (lambda: visualize_batch([]), ValueError, "empty"),
        (lambda: visualize_batch(3), TypeError, "int"),
        (lambda: visualize_batch([(PIXELS, [])], columns=0), ValueError, "columns=0"),
        (lambda: visualize_batch(([PIXELS], [[], []])), ValueError, "lengths"),
        (lambda: visualize_batch({"image": [PIXELS], "labels": []}), ValueError, "lengths"),
    ],
)
def test_what_is_no_sample_is_named(call: typing.Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_it_is_the_function_however_often_it_is_imported() -> None:
    for _ in range(2):
        assert callable(inpaint_transform.visualize)
        assert callable(inpaint_transform.visualize_batch)
