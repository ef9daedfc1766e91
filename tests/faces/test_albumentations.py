from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from contract import FULL, IMAGE, Contract, Face, Result
from painters import Painter
from PIL import Image

from inpaint_transform import BBoxInpaint, ModelSpec

FORMATS = ("coco", "pascal_voc", "yolo", "albumentations")
BOXES = {
    "coco": [[20, 30, 60, 50], [100, 20, 40, 70]],
    "pascal_voc": [[20, 30, 80, 80], [100, 20, 140, 90]],
    "yolo": [[0.25, 0.4583333, 0.3, 0.4166667], [0.6, 0.4583333, 0.2, 0.5833333]],
    "albumentations": [[0.1, 0.25, 0.4, 0.6666667], [0.5, 0.1666667, 0.7, 0.75]],
}


def compose(*transforms: A.BasicTransform, box_format: str = "coco", fields: tuple[str, ...] = ("labels",), **kwargs):
    return A.Compose(list(transforms), bbox_params=A.BboxParams(box_format, label_fields=list(fields)), **kwargs)


def sample(labels=("cat", "dog"), box_format: str = "coco", **more):
    return {"image": IMAGE.copy(), "bboxes": BOXES[box_format], "labels": list(labels), **more}


class Albumentations(Face):
    transform = BBoxInpaint
    module = "inpaint_transform"
    absent = ("diffusers", "transformers")

    def ready(self, transform, seed=None):
        return compose(transform, box_format="pascal_voc", seed=seed)

    def call(self, ready, image, boxes, labels, **more) -> Result:
        result = ready(image=image, bboxes=boxes, labels=labels, **more)
        assert all(result[key] is value for key, value in more.items())
        return Result(result["image"], np.asarray(result["bboxes"]), list(result["labels"]))


class TestAlbumentations(Contract):
    face = Albumentations()


# Pass-through


@pytest.mark.parametrize("box_format", FORMATS)
@pytest.mark.parametrize("kind", ["list", "float32", "float64"])
@pytest.mark.parametrize("labels", [("cat", "dog"), (3, 7)])
def test_annotations_come_back_as_noop_returns_them(painter: Painter, box_format: str, kind: str, labels) -> None:
    data = sample(labels, box_format)
    data["mask"] = np.arange(120 * 200, dtype=np.uint8).reshape(120, 200)
    data["masks"] = np.stack([data["mask"], data["mask"]])
    data["keypoints"] = [(30.0, 40.0), (110.0, 50.0)]
    if kind != "list":
        data["bboxes"] = np.array(data["bboxes"], dtype=kind)
    both = [
        A.Compose(
            [transform],
            bbox_params=A.BboxParams(box_format, label_fields=["labels"]),
            keypoint_params=A.KeypointParams("xy"),
        )(**copy.deepcopy(data))
        for transform in (BBoxInpaint(prompts="a thing", p=1.0, num_boxes=2), A.NoOp(p=1.0))
    ]
    ours, noop = both
    assert (ours["image"] != noop["image"]).any()
    for key in ("bboxes", "labels", "mask", "masks", "keypoints"):
        assert type(ours[key]) is type(noop[key])
        assert np.array_equal(np.asarray(ours[key]), np.asarray(noop[key]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_without_a_channel_axis(painter: Painter, dtype) -> None:
    image = np.random.default_rng(1).random((120, 200), np.float32)
    image = image if dtype is np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
    result = compose(BBoxInpaint(p=1.0))(**{**sample(), "image": image})["image"]
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    assert (result != image).any()


def test_stacks_and_additional_images_get_the_same_edit(painter: Painter) -> None:
    transform = compose(BBoxInpaint(p=1.0), additional_targets={"image2": "image"})
    result = transform(**sample(), image2=IMAGE.copy())
    assert np.array_equal(result["image"], result["image2"])
    frames = np.stack([IMAGE, IMAGE])
    result = compose(BBoxInpaint(p=1.0))(images=frames, bboxes=BOXES["coco"], labels=["cat", "dog"])["images"]
    assert result.shape == frames.shape
    assert np.array_equal(result[0], result[1])
    assert (result != frames).any()


# Labels and prompts


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: [t],
        lambda t: [A.HorizontalFlip(p=1.0), t],
        lambda t: [A.Crop(10, 10, 190, 110, p=1.0), t],
        lambda t: [A.OneOf([t], p=1.0)],
        lambda t: [A.SomeOf([t], n=1, p=1.0)],
        lambda t: [A.Sequential([A.VerticalFlip(p=1.0), t], p=1.0)],
        lambda t: [A.Compose([t])],
    ],
    ids=["alone", "after a flip", "after a crop", "OneOf", "SomeOf", "Sequential", "nested"],
)
@pytest.mark.parametrize("labels", [("cat", "dog"), (0, 1)])
def test_the_prompt_names_the_chosen_box_anywhere_in_a_pipeline(painter: Painter, wrap, labels) -> None:
    names = {0: "cat", 1: "dog"} if labels[0] == 0 else None
    for chosen, noun in zip(labels, ("cat", "dog"), strict=True):
        transform = BBoxInpaint(prompts="one {label}", class_names=names, include_labels=[chosen], p=1.0)
        compose(*wrap(transform))(**sample(labels))
        [request] = painter.calls[-1]
        assert request.prompt == f"one {noun}"


def test_a_label_first_seen_in_a_later_sample(painter: Painter) -> None:
    transform = compose(BBoxInpaint(prompts="{label}", num_boxes=2, p=1.0))
    transform(**sample(("cat", "dog")))
    transform(**sample(("zebra", "ant")))
    assert [request.prompt for request in painter.calls[-1]] == ["zebra", "ant"]


def test_the_second_label_field_can_name_the_class(painter: Painter) -> None:
    transform = compose(
        BBoxInpaint(prompts="{label}", label_field="kind", num_boxes=2, p=1.0), fields=("labels", "kind")
    )
    result = transform(**sample((1.5, 2.5)), kind=["cat", "dog"])
    assert [request.prompt for request in painter.calls[-1]] == ["cat", "dog"]
    assert result["kind"] == ["cat", "dog"]


# Randomness


def test_global_generators_are_left_alone_without_a_seed_too() -> None:
    transform = compose(BBoxInpaint(ModelSpec("tiny", steps=1, serving="local"), prompts="a cone", p=1.0))

    def states() -> tuple:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    result = transform(**sample())
    assert (result["image"] != IMAGE).any()
    assert states() == before


# Saving and copying


@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_saving_keeps_every_argument(painter: Painter, tmp_path: Path, data_format: str) -> None:
    transform = compose(BBoxInpaint(**{**FULL, "log": tmp_path / "edits.jsonl"}))
    A.save(transform, tmp_path / "saved", data_format=data_format)
    loaded = A.load(tmp_path / "saved", data_format=data_format)
    assert np.array_equal(transform(**sample())["image"], loaded(**sample())["image"])
    assert repr(loaded.transforms[0]) == repr(transform.transforms[0]) or data_format == "json"
    assert A.to_dict(transform)["transform"]["transforms"][0]["seed"] == 11


def test_a_function_for_prompts_does_not_serialise() -> None:
    transform = compose(BBoxInpaint(prompts=lambda label, slots, rng: f"my {label}"))
    with pytest.raises(TypeError, match="prompts is a function"):
        A.to_dict(transform)


@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_references_of_files_are_saved_and_those_of_arrays_are_not(
    painter: Painter, tmp_path: Path, data_format: str
) -> None:
    Image.fromarray(IMAGE[:40, :50]).save(tmp_path / "cat.png")
    arguments = {"prompts": "a {label}", "num_boxes": 2, "seed": 3, "p": 1.0}
    transform = compose(BBoxInpaint(reference={"cat": [tmp_path / "cat.png"]}, **arguments))
    A.save(transform, tmp_path / "saved", data_format=data_format)
    loaded = A.load(tmp_path / "saved", data_format=data_format)
    loaded(**sample())
    transform(**sample())
    for calls in zip(*painter.calls[-2:], strict=True):
        references = [request.reference for request in calls]
        assert (references[0] is None) == (references[1] is None) == (calls[0].prompt == "a dog")
        assert references[0] is None or np.array_equal(*references)
    of_array = compose(BBoxInpaint(reference={"cat": [IMAGE]}, **arguments))
    with pytest.raises(TypeError, match="reference holds arrays, which do not serialise; give files"):
        A.to_dict(of_array)
    (tmp_path / "cat.png").unlink()
    with pytest.raises(ValueError, match=r"reference={'cat': .*there is no such file"):
        A.load(tmp_path / "saved", data_format=data_format)


def test_a_replay_is_json_and_paints_the_same(painter: Painter) -> None:
    transform = A.ReplayCompose([BBoxInpaint(p=1.0)], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
    result = transform(**sample())
    json.dumps(result["replay"])
    again = A.ReplayCompose.replay(result["replay"], **sample())
    assert np.array_equal(again["image"], result["image"])


# Outside Compose


def test_an_image_alone_needs_no_compose(painter: Painter) -> None:
    assert np.array_equal(BBoxInpaint(p=1.0)(image=IMAGE)["image"], IMAGE)


def test_boxes_without_a_format_are_refused(painter: Painter) -> None:
    with pytest.raises(ValueError, match=r"A\.Compose"):
        BBoxInpaint(p=1.0)(image=IMAGE, bboxes=[[1, 2, 60, 60]])


# Import


def test_importing_the_package_loads_no_framework() -> None:
    absent = ["diffusers", "transformers", "albumentations", "torch"]
    code = f"import sys; import inpaint_transform; print([name for name in {absent} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"


@pytest.mark.parametrize("p", [30, -1, float("nan"), "half", None])
def test_a_probability_that_is_none_is_told_by_the_transform(p) -> None:
    """Not by the framework's schema, of which nobody knows."""
    with pytest.raises(ValueError, match=rf"^p={p!r}: use a probability in \[0, 1\]"):
        BBoxInpaint(p=p)
