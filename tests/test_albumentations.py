from __future__ import annotations

import copy
import json
import pickle
import random
import subprocess
import sys
import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from conftest import Painter
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, InpaintError, ModelSpec

FORMATS = ("coco", "pascal_voc", "yolo", "albumentations")
BOXES = {
    "coco": [[20, 30, 60, 50], [100, 20, 40, 70]],
    "pascal_voc": [[20, 30, 80, 80], [100, 20, 140, 90]],
    "yolo": [[0.25, 0.4583333, 0.3, 0.4166667], [0.6, 0.4583333, 0.2, 0.5833333]],
    "albumentations": [[0.1, 0.25, 0.4, 0.6666667], [0.5, 0.1666667, 0.7, 0.75]],
}
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)


def compose(*transforms: A.BasicTransform, box_format: str = "coco", fields: tuple[str, ...] = ("labels",), **kwargs):
    return A.Compose(list(transforms), bbox_params=A.BboxParams(box_format, label_fields=list(fields)), **kwargs)


def sample(labels=("cat", "dog"), box_format: str = "coco", **more):
    return {"image": IMAGE.copy(), "bboxes": BOXES[box_format], "labels": list(labels), **more}


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


def test_only_the_box_changes_and_it_is_the_right_one(painter: Painter) -> None:
    transform = compose(BBoxInpaint(include_labels=["dog"], p=1.0))
    image = transform(**sample())["image"]
    changed = (image != IMAGE).any(axis=2)
    assert changed[20:90, 100:140].mean() > 0.9
    changed[20:90, 100:140] = False
    assert not changed.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(120, 200), (120, 200, 1), (120, 200, 4), (120, 200, 5)])
def test_images_of_other_kinds(painter: Painter, dtype, shape) -> None:
    image = np.random.default_rng(1).random(shape, np.float32)
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
def test_the_prompt_names_the_chosen_box(painter: Painter, wrap, labels) -> None:
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


def test_a_sample_brings_its_own_slots(painter: Painter) -> None:
    transform = compose(BBoxInpaint(prompts="{label} {weather}", prompt_key="scene", include_labels=["cat"], p=1.0))
    result = transform(**sample(), scene={"weather": "in fog"})
    assert painter.calls[-1][0].prompt == "cat in fog"
    assert result["scene"] == {"weather": "in fog"}


# Randomness


class Pictures(Dataset):
    def __init__(self, transform: A.Compose) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> bytes:
        # One picture for all, so that only the draws can make a difference; a seeded transform gets different ones.
        image = IMAGE.copy()
        if self.transform.transforms[0]._content_seed is not None:
            image[0, 0] = index
        return self.transform(image=image, bboxes=BOXES["coco"], labels=["cat", "dog"])["image"].tobytes()


def load(transform: A.Compose, workers: int, persistent: bool = False, epochs: int = 1, torch_seed: int = 0):
    generator = torch.Generator().manual_seed(torch_seed)
    loader = DataLoader(
        Pictures(transform),
        batch_size=3,
        num_workers=workers,
        persistent_workers=persistent,
        multiprocessing_context="fork" if workers else None,
        collate_fn=list,
        generator=generator,
    )
    return [[image for batch in loader for image in batch] for _ in range(epochs)]


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (3, False), (3, True)])
def test_without_a_seed_every_sample_worker_and_epoch_differs(painter: Painter, workers: int, persistent: bool) -> None:
    first, second = load(compose(BBoxInpaint(p=1.0)), workers, persistent, epochs=2)
    assert len({*first, *second}) == 24


def test_the_loaders_own_seed_repeats_the_draws(painter: Painter) -> None:
    runs = [load(compose(BBoxInpaint(p=1.0), seed=1), 2, torch_seed=seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_seed_makes_the_draws_a_function_of_the_sample(painter: Painter) -> None:
    transform = BBoxInpaint(p=0.6, seed=5)
    plain = load(compose(transform), 0)[0]
    assert plain == load(compose(BBoxInpaint(p=0.6, seed=5), seed=99), 3)[0]
    fired = sum(image[600:] != IMAGE.tobytes()[600:] for image in plain)
    assert 2 <= fired <= 11
    transform.set_epoch(1)
    assert plain != load(compose(transform), 0)[0]
    transform.set_epoch(0)
    assert plain == load(compose(transform), 2)[0]


def test_persistent_workers_see_the_epoch(painter: Painter) -> None:
    transform = BBoxInpaint(p=1.0, seed=5)
    loader = DataLoader(
        Pictures(compose(transform)),
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
        collate_fn=list,
    )
    epochs = []
    for epoch in (0, 1, 0):
        transform.set_epoch(epoch)
        epochs.append([image for batch in loader for image in batch])
    assert epochs[0] == epochs[2]
    assert not set(epochs[0]) & set(epochs[1])


@pytest.mark.parametrize("seed", [None, 3])
def test_it_fires_with_probability_p(painter: Painter, seed) -> None:
    transform = compose(BBoxInpaint(p=0.3, seed=seed), seed=1)
    fired = 0
    for number in range(400):
        data = sample()
        data["image"][0, :2] = divmod(number, 256)[0], number % 256, 0
        fired += (transform(**data)["image"] != data["image"]).any()
    assert 85 <= fired <= 155


def test_global_generators_are_left_alone() -> None:
    transform = compose(BBoxInpaint(ModelSpec("tiny", steps=1, serving="local"), prompts="a cone", p=1.0))

    def states() -> tuple:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    result = transform(**sample())
    assert (result["image"] != IMAGE).any()
    assert states() == before


# Saving and copying


FULL = {
    "model": {"id": "tiny", "steps": 3},
    "prompts": {"cat": ["a {color} cat"], "dog": "a dog"},
    "attributes": {"color": ["red", "blue"]},
    "num_boxes": (1, 2),
    "strength": (0.5, 1.0),
    "context": 1.7,
    "on_error": "skip",
    "seed": 11,
    "p": 0.9,
}


@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_saving_keeps_every_argument(painter: Painter, tmp_path: Path, data_format: str) -> None:
    transform = compose(BBoxInpaint(**FULL))
    A.save(transform, tmp_path / "saved", data_format=data_format)
    loaded = A.load(tmp_path / "saved", data_format=data_format)
    assert np.array_equal(transform(**sample())["image"], loaded(**sample())["image"])
    assert repr(loaded.transforms[0]) == repr(transform.transforms[0]) or data_format == "json"
    assert A.to_dict(transform)["transform"]["transforms"][0]["seed"] == 11


def test_copies_carry_no_weights(painter: Painter) -> None:
    transform = BBoxInpaint(**FULL)
    assert len(pickle.dumps(transform)) < 10_000
    twins = [copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), transform]
    images = [compose(twin)(**sample())["image"] for twin in twins]
    assert all(np.array_equal(image, images[0]) for image in images)
    assert "context=1.7" in repr(transform)


def test_a_function_for_prompts_works_but_does_not_serialise(painter: Painter) -> None:
    inpaint = BBoxInpaint(prompts=lambda label, slots, rng: f"my {label}", include_labels=["cat"], p=1.0)
    transform = compose(inpaint)
    transform(**sample())
    assert painter.calls[-1][0].prompt == "my cat"
    assert "BBoxInpaint" in repr(inpaint)
    with pytest.raises(TypeError, match="prompts is a function"):
        A.to_dict(transform)


def test_a_replay_is_json_and_paints_the_same(painter: Painter) -> None:
    transform = A.ReplayCompose([BBoxInpaint(p=1.0)], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
    result = transform(**sample())
    json.dumps(result["replay"])
    again = A.ReplayCompose.replay(result["replay"], **sample())
    assert np.array_equal(again["image"], result["image"])


# Images without boxes


def test_images_without_boxes(painter: Painter) -> None:
    empty = {"image": IMAGE.copy(), "bboxes": [], "labels": []}
    assert np.array_equal(compose(BBoxInpaint(p=1.0))(**empty)["image"], IMAGE)
    result = compose(BBoxInpaint(prompts="a puddle", when_no_box="random", p=1.0))(**empty)
    assert (result["image"] != IMAGE).any()
    assert list(result["bboxes"]) == []
    assert np.array_equal(BBoxInpaint(p=1.0)(image=IMAGE)["image"], IMAGE)


# Errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"p": 1.5}, "p"),
        ({"context": "big"}, "context"),
        ({"num_boxes": "two"}, "num_boxes"),
        ({"num_boxes": 0}, "num_boxes=0"),
        ({"prompts": 5}, "prompts=5"),
        ({"prompts": []}, "prompts"),
        ({"prompts": "a {colour} car"}, "{colour}"),
        ({"prompts": "a {label"}, "prompts='a {label'"),
        ({"attributes": {"color": "red"}}, "color"),
        ({"strength": 0}, "strength=0"),
        ({"shape": "star"}, "shape='star'"),
        ({"on_error": "ignore"}, "on_error"),
        ({"when_no_box": "random"}, "when_no_box='random'"),
        ({"model": {"steps": 3}}, "no 'id'"),
        ({"model": {"id": "tiny", "stepz": 3}}, "stepz"),
        ({"model": ""}, "id=''"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict, said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=".") as caught:
            BBoxInpaint(**arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("transform", "data", "said"),
    [
        (compose(BBoxInpaint(prompts={"cat": "a cat"}, num_boxes=2, p=1.0)), sample(), "no entry for label 'dog'"),
        (compose(BBoxInpaint(p=1.0)), sample((1, 2)), "class_names"),
        (compose(BBoxInpaint(label_field="kind", p=1.0)), sample(), "label_field='kind'"),
        (BBoxInpaint(p=1.0), {"image": IMAGE, "bboxes": [[1, 2, 60, 60]]}, "A.Compose"),
        (compose(BBoxInpaint(prompts="{a}", prompt_key="scene", p=1.0)), sample(scene={}), "{a}"),
        (compose(BBoxInpaint(prompts="{a}", prompt_key="scene", p=1.0)), sample(scene="fog"), "'scene' is 'fog'"),
        (compose(BBoxInpaint(p=1.0)), {**sample(), "image": IMAGE.astype(np.float32)}, "before any normalisation"),
        (compose(BBoxInpaint(p=1.0)), {**sample(), "image": IMAGE[:, :, :2]}, "two channels"),
    ],
    ids=["unknown label", "bare id", "label field", "no Compose", "unfilled", "slots", "normalised", "channels"],
)
def test_a_wrong_sample_is_named(painter: Painter, transform, data: dict, said: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        transform(**data)
    assert said in str(caught.value)
    assert not painter.calls


def test_another_dtype_is_named(painter: Painter) -> None:
    with pytest.raises(TypeError, match="image has dtype int32"):
        compose(BBoxInpaint(p=1.0))(**{**sample(), "image": IMAGE.astype(np.int32)})


def test_on_error_decides_what_a_failure_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Painter):
        def paint(self, requests):
            raise InpaintError("the card is gone")

    monkeypatch.setattr(BBoxInpaint, "inpainter", property(lambda _: Broken()))
    with pytest.raises(InpaintError, match="the card is gone"):
        compose(BBoxInpaint(p=1.0))(**sample())
    transform = BBoxInpaint(p=1.0, on_error="skip")
    with pytest.warns(RuntimeWarning, match="the card is gone") as caught:
        for _ in range(3):
            assert np.array_equal(compose(transform)(**sample())["image"], IMAGE)
    assert len([warning for warning in caught if "card" in str(warning.message)]) == 1
    assert transform.stats()["errors"] == 3


def test_a_high_reject_rate_is_counted_and_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Painter(rejects=10**6)
    monkeypatch.setattr(BBoxInpaint, "inpainter", property(lambda _: stand_in))
    transform = BBoxInpaint(p=1.0, retries=0)
    with pytest.warns(RuntimeWarning, match="rejected") as caught:
        for _ in range(30):
            compose(transform)(**sample())
    assert len(caught) == 1
    assert transform.stats()["rejected: near constant"] == 30


# Import


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import inpaint_transform", ["diffusers", "transformers", "albumentations", "torch"]),
        ("from inpaint_transform import BBoxInpaint", ["diffusers", "transformers"]),
    ],
)
def test_importing_loads_no_models(statement: str, absent: list[str]) -> None:
    code = f"import sys; {statement}; print([name for name in {absent} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
