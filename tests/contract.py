"""What both faces must do: a test module subclasses ``Contract`` and says how its framework carries a sample."""

from __future__ import annotations

import copy
import inspect
import pickle
import random
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painters import Painter, hand_in
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import InpaintError, ModelSpec

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
# Pixel corners x0, y0, x1, y1.
BOXES = [[20, 30, 80, 80], [100, 20, 140, 90]]
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


@dataclass(frozen=True)
class Result:
    """A transformed sample: the image ``(H, W, C)``, the boxes as pixel corners and the labels."""

    image: np.ndarray
    boxes: np.ndarray
    labels: list[Any]


class Face:
    """How a framework carries a sample.

    Attributes:
        transform: The face's ``BBoxInpaint``.
        module: Where it is imported from.
        absent: What importing it must not load.
        before_import: A statement that must run before it can be imported.
    """

    transform: type
    module: str
    absent: tuple[str, ...]
    before_import: str = "pass"

    def ready(self, transform: Any, seed: int | None = None) -> Any:
        """What is called with samples, its own draws seeded where the framework wants that."""
        raise NotImplementedError

    def call(self, ready: Any, image: np.ndarray, boxes: Any, labels: Any, **more: Any) -> Result:
        """Put image ``(H, W, C)``, pixel corners and labels into a sample, call, and read the sample back."""
        raise NotImplementedError


class Pictures(Dataset):
    def __init__(self, face: Face, ready: Any, distinct: bool) -> None:
        self.face, self.ready, self.distinct = face, ready, distinct

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> bytes:
        # One picture for all, so that only the draws can make a difference; a seeded transform gets different ones.
        image = IMAGE.copy()
        if self.distinct:
            image[0, 0] = index
        return self.face.call(self.ready, image, BOXES, ["cat", "dog"]).image.tobytes()


class Contract:
    face: Face

    def make(self, **arguments: Any) -> Any:
        return self.face.transform(**arguments)

    def run(self, transform: Any, image=IMAGE, boxes=BOXES, labels=("cat", "dog"), **more: Any) -> Result:
        return self.face.call(self.face.ready(transform), image, boxes, list(labels), **more)

    def load(self, transform: Any, workers: int, persistent=False, epochs=1, torch_seed=0, draws=None, distinct=False):
        loader = DataLoader(
            Pictures(self.face, self.face.ready(transform, draws), distinct),
            batch_size=3,
            num_workers=workers,
            persistent_workers=persistent,
            multiprocessing_context="fork" if workers else None,
            collate_fn=list,
            generator=torch.Generator().manual_seed(torch_seed),
        )
        return [[image for batch in loader for image in batch] for _ in range(epochs)]

    # What changes, and what does not

    @pytest.mark.parametrize("labels", [("cat", "dog"), (3, 7)])
    def test_only_the_right_box_changes(self, painter: Painter, labels) -> None:
        before = IMAGE.copy()
        result = self.run(self.make(prompts="a thing", include_labels=[labels[1]], p=1.0), before, labels=labels)
        changed = (result.image != IMAGE).any(axis=2)
        assert changed[20:90, 100:140].mean() > 0.9
        changed[20:90, 100:140] = False
        assert not changed.any()
        assert np.array_equal(before, IMAGE)
        assert np.allclose(result.boxes, BOXES, atol=1e-4)
        assert result.labels == list(labels)

    def test_p_zero_changes_nothing(self, painter: Painter) -> None:
        result = self.run(self.make(p=0.0))
        assert np.array_equal(result.image, IMAGE)
        assert not painter.calls

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("channels", [1, 3, 4, 5])
    def test_images_of_other_kinds(self, painter: Painter, dtype, channels: int) -> None:
        image = np.random.default_rng(1).random((120, 200, channels), np.float32)
        image = image if dtype is np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
        result = self.run(self.make(num_boxes=2, p=1.0), image).image
        assert (result.dtype, result.shape) == (image.dtype, image.shape)
        assert (result != image).any()
        assert np.array_equal(result[:, :, 3:], image[:, :, 3:])
        outside = np.ones(image.shape[:2], bool)
        for x0, y0, x1, y1 in BOXES:
            outside[y0:y1, x0:x1] = False
        assert np.array_equal(result[outside], image[outside])

    # Labels and prompts

    @pytest.mark.parametrize("names", [None, {0: "cat", 1: "dog"}, ["cat", "dog"], {"0": "cat", "1": "dog"}])
    def test_the_prompt_names_the_chosen_box(self, painter: Painter, names) -> None:
        labels = ("cat", "dog") if names is None else (0, 1)
        for chosen, noun in zip(labels, ("cat", "dog"), strict=True):
            transform = self.make(prompts="one {label}", class_names=names, include_labels=[chosen], p=1.0)
            self.run(transform, labels=labels)
            [request] = painter.calls[-1]
            assert request.prompt == f"one {noun}"

    def test_prompts_by_label(self, painter: Painter) -> None:
        self.run(self.make(prompts={3: "a cat", 7: ["a dog"]}, num_boxes=2, p=1.0), labels=(3, 7))
        assert [request.prompt for request in painter.calls[-1]] == ["a cat", "a dog"]

    def test_a_label_without_a_prompt_is_named_at_the_first_sample_even_if_nothing_is_drawn(
        self, painter: Painter
    ) -> None:
        with pytest.raises(ValueError, match="prompts has no entry for label 'dog'; it knows 'cat'"):
            self.run(self.make(prompts={"cat": "a cat"}, p=1e-12))
        with pytest.raises(ValueError, match="label 7; add it"):
            self.run(self.make(class_names={3: "cat"}, p=1e-12), labels=(3, 7))
        assert not painter.calls

    def test_references_by_label(self, painter: Painter, tmp_path: Path) -> None:
        """Files and arrays; drawn for each edit, and for labels that have one."""
        red, blue = np.full((30, 40, 3), (250, 0, 0), np.uint8), np.full((30, 40, 3), (0, 0, 250), np.uint8)
        Image.fromarray(blue).save(tmp_path / "blue.png")
        reference = {"cat": [red, tmp_path / "blue.png"]}
        transform = self.make(prompts="a {label}", reference=reference, num_boxes=2, seed=1, p=1.0)
        drawn = set()
        for number in range(8):
            image = IMAGE.copy()
            image[0, 0] = number
            self.run(transform, image)
            cat, dog = painter.calls[-1]
            assert dog.reference is None
            drawn.add(tuple(cat.reference[5, 5]))
        assert drawn == {(250, 0, 0), (0, 0, 250)}
        assert f"reference={{'cat': ['array (30, 40, 3)', '{tmp_path / 'blue.png'}']}}" in repr(transform)
        twin = pickle.loads(pickle.dumps(transform))
        self.run(twin)
        assert painter.calls[-1][0].reference is not None

    def test_a_sample_brings_its_own_slots(self, painter: Painter) -> None:
        transform = self.make(prompts="{label} {weather}", prompt_key="scene", include_labels=["cat"], p=1.0)
        self.run(transform, scene={"weather": "in fog"})
        assert painter.calls[-1][0].prompt == "cat in fog"

    def test_prompts_may_be_a_function(self, painter: Painter) -> None:
        transform = self.make(prompts=lambda label, slots, rng: f"my {label}", include_labels=["cat"], p=1.0)
        self.run(transform)
        assert painter.calls[-1][0].prompt == "my cat"
        assert "BBoxInpaint" in repr(transform)

    # Class swaps

    @pytest.mark.parametrize(
        ("labels", "relabel", "after", "prompts"),
        [
            (("cat", "dog"), {"cat": "a long zebra"}, ["a long zebra", "dog"], ["a long zebra", "dog"]),
            ((3, 7), {7: [12]}, [3, 12], ["cat", "zebra"]),
        ],
    )
    def test_a_swap_rewrites_the_label(self, painter: Painter, labels, relabel, after, prompts) -> None:
        names = None if labels[0] == "cat" else {3: "cat", 7: "dog", 12: "zebra"}
        result = self.run(
            self.make(prompts="{label}", class_names=names, relabel=relabel, num_boxes=2, p=1.0), labels=labels
        )
        assert result.labels == after
        assert [request.prompt for request in painter.calls[-1]] == prompts
        assert np.allclose(result.boxes, BOXES, atol=1e-4)

    def test_a_rejected_swap_keeps_the_label(self, painter: Painter) -> None:
        painter.rejects = 1
        result = self.run(self.make(prompts="{label}", relabel={"cat": "zebra"}, num_boxes=2, retries=0, p=1.0))
        assert result.labels == ["cat", "dog"]
        assert np.array_equal(result.image, IMAGE)

    def test_a_gate_decides_over_each_box(self, painter: Painter) -> None:
        def no_zebras(original, painted, label, box):
            return label != "zebra"

        transform = self.make(
            prompts="{label}", relabel={"cat": "zebra", "dog": "ant"}, gate=no_zebras, num_boxes=2, p=1.0
        )
        result = self.run(transform)
        assert result.labels == ["cat", "ant"]
        changed = (result.image != IMAGE).any(axis=2)
        assert not changed[30:80, 20:80].any()
        assert changed[20:90, 100:140].any()

    def test_the_schedule_follows_the_epochs(self, painter: Painter) -> None:
        transform = self.make(p=1.0, schedule={"epochs": 4, "start": 1, "off_last": 2})
        fires = []
        for epoch in range(4):
            transform.set_epoch(epoch)
            fires.append(bool((self.run(transform).image != IMAGE).any()))
        assert fires == [False, True, False, False]

    # Images without boxes

    def test_images_without_boxes(self, painter: Painter) -> None:
        assert np.array_equal(self.run(self.make(p=1.0), boxes=[], labels=[]).image, IMAGE)
        result = self.run(self.make(prompts="a puddle", when_no_box="random", p=1.0), boxes=[], labels=[])
        assert (result.image != IMAGE).any()
        assert len(result.boxes) == 0

    # Randomness

    @pytest.mark.parametrize(("workers", "persistent"), [(0, False), (3, False), (3, True)])
    def test_without_a_seed_every_sample_worker_and_epoch_differs(
        self, painter: Painter, workers: int, persistent: bool
    ) -> None:
        first, second = self.load(self.make(p=1.0), workers, persistent, epochs=2)
        assert len({*first, *second}) == 24

    def test_the_loaders_own_seed_repeats_the_draws(self, painter: Painter) -> None:
        runs = [self.load(self.make(p=1.0), 2, torch_seed=seed, draws=1) for seed in (0, 0, 1)]
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    def test_a_seed_makes_the_draws_a_function_of_the_sample(self, painter: Painter) -> None:
        transform = self.make(p=0.6, seed=5)
        [plain] = self.load(transform, 0, distinct=True)
        assert [plain] == self.load(self.make(p=0.6, seed=5), 3, draws=99, distinct=True)
        fired = sum(image[600:] != IMAGE.tobytes()[600:] for image in plain)
        assert 2 <= fired <= 11
        transform.set_epoch(1)
        assert [plain] != self.load(transform, 0, distinct=True)
        transform.set_epoch(0)
        assert [plain] == self.load(transform, 2, distinct=True)

    def test_persistent_workers_see_the_epoch(self, painter: Painter) -> None:
        transform = self.make(p=1.0, seed=5)
        loader = DataLoader(
            Pictures(self.face, self.face.ready(transform), distinct=True),
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
    def test_it_fires_with_probability_p(self, painter: Painter, seed) -> None:
        ready = self.face.ready(self.make(p=0.3, seed=seed), seed=1)
        fired = 0
        for number in range(400):
            image = IMAGE.copy()
            image[0, :2] = divmod(number, 256)[0], number % 256, 0
            fired += (self.face.call(ready, image, BOXES, ["cat", "dog"]).image != image).any()
        assert 85 <= fired <= 155

    def test_a_seeded_transform_leaves_global_generators_alone(self) -> None:
        transform = self.make(
            model=ModelSpec("tiny", steps=1, serving="local"), prompts="a cone", num_boxes=2, seed=0, p=1.0
        )

        def states() -> tuple:
            return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

        ready = self.face.ready(transform)
        before = states()
        assert (self.face.call(ready, IMAGE, BOXES, ["cat", "dog"]).image != IMAGE).any()
        assert states() == before

    # Copying

    def test_copies_carry_no_weights_and_paint_the_same(self, painter: Painter) -> None:
        transform = self.make(**FULL)
        assert len(pickle.dumps(transform)) < 10_000
        twins = [copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), transform]
        images = [self.run(twin).image for twin in twins]
        assert all(np.array_equal(image, images[0]) for image in images)
        assert "context=1.7" in repr(transform)

    def test_the_model_is_seen_at_a_glance(self) -> None:
        knows = "(knows only red blood cell, white blood cell, platelet, cone, cube)"
        assert f"BBoxInpaint(model='tiny' {knows}, p=0.5)" in repr(self.make())
        assert "BBoxInpaint(model='sd15', num_boxes=2, p=1.0)" in repr(self.make(model="sd15", num_boxes=2, p=1.0))

    def test_arguments_can_be_read_back(self) -> None:
        transform = self.make(**FULL)
        for name in set(FULL) - {"seed", "model"}:  # A.Compose takes seed for itself
            assert getattr(transform, name) == FULL[name]
        assert ModelSpec.of(transform.model) == ModelSpec.of(FULL["model"])

    # Errors

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"p": 1.5}, "p"),
            ({"context": "big"}, "context"),
            ({"num_boxes": "two"}, "num_boxes"),
            ({"num_boxes": 0}, "num_boxes=0"),
            ({"num_boxes": 1.5}, "num_boxes"),
            ({"area_range": (0.1, 0.2, 0.3)}, "area_range"),
            ({"include_labels": "cat"}, "include_labels"),
            ({"negative_prompt": 5}, "negative_prompt"),
            ({"class_names": {"cat": 1}}, "class_names={'cat': 1} gives ids by name; turn it round"),
            ({"class_names": "cat,dog"}, "class_names='cat,dog' is one text"),
            ({"prompts": 5}, "prompts=5"),
            ({"prompts": []}, "prompts"),
            ({"prompts": "a {colour} car"}, "{colour}"),
            ({"prompts": "a {label"}, "prompts='a {label'"),
            ({"attributes": {"color": "red"}}, "color"),
            ({"strength": 0}, "strength=0"),
            ({"reference": {"cat": ["gone.png"]}}, "reference={'cat': ['gone.png']}: there is no such file"),
            ({"reference": "photo.png"}, "reference='photo.png': give {label: [files or arrays]}"),
            ({"reference": {"cat": "photo.png"}}, "reference={'cat': ...}: give a list"),
            ({"shape": "star"}, "shape='star'"),
            ({"on_error": "ignore"}, "on_error"),
            ({"seed": "x"}, "seed"),
            ({"when_no_box": "random"}, "when_no_box='random'"),
            ({"model": {"steps": 3}}, "no 'id'"),
            ({"model": {"id": "tiny", "stepz": 3}}, "stepz"),
            ({"model": ""}, "id=''"),
        ],
    )
    def test_a_wrong_argument_is_named(self, arguments: dict, said: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match=".") as caught:
                self.make(**arguments)
        assert said in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "sample", "said"),
        [
            ({"prompts": {"cat": "a cat"}, "num_boxes": 2}, {}, "no entry for label 'dog'"),
            ({}, {"labels": (1, 2)}, "class_names"),
            ({"class_names": ["cat"], "num_boxes": 2}, {"labels": (0, 1)}, "no entry for label 1"),
            ({"label_field": "kind"}, {}, "label_field='kind'"),
            ({"prompts": "{a}", "prompt_key": "scene"}, {"scene": {}}, "{a}"),
            ({"prompts": "{a}", "prompt_key": "scene"}, {"scene": "fog"}, "'scene' is 'fog'"),
            ({}, {"image": IMAGE.astype(np.float32)}, "before any normalisation"),
            ({}, {"image": IMAGE[:, :, :2]}, "two channels"),
        ],
        ids=["unknown label", "bare id", "unknown id", "label field", "unfilled", "slots", "normalised", "channels"],
    )
    def test_a_wrong_sample_is_named(self, painter: Painter, arguments: dict, sample: dict, said: str) -> None:
        with pytest.raises(ValueError, match=".") as caught:
            self.run(self.make(**arguments, p=1.0), **sample)
        assert said in str(caught.value)
        assert not painter.calls

    def test_another_dtype_is_named(self, painter: Painter) -> None:
        with pytest.raises(TypeError, match=r"image has dtype (torch\.)?int32"):
            self.run(self.make(p=1.0), IMAGE.astype(np.int32))

    def test_on_error_decides_what_a_failure_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken(Painter):
            def paint(self, requests):
                raise InpaintError("the card is gone")

        hand_in(monkeypatch, Broken())
        with pytest.raises(InpaintError, match="the card is gone"):
            self.run(self.make(p=1.0))
        transform = self.make(p=1.0, on_error="skip")
        with pytest.warns(RuntimeWarning, match="the card is gone") as caught:
            for _ in range(3):
                assert np.array_equal(self.run(transform).image, IMAGE)
        assert len([warning for warning in caught if "card" in str(warning.message)]) == 1
        assert transform.stats()["errors"] == 3

    @pytest.mark.parametrize(("rejects", "accepted"), [(2, 1), (3, 0)])
    def test_a_rejected_output_is_painted_again(self, monkeypatch: pytest.MonkeyPatch, rejects, accepted) -> None:
        stand_in = Painter(rejects=rejects)
        hand_in(monkeypatch, stand_in)
        transform = self.make(p=1.0, retries=2)
        assert (self.run(transform).image != IMAGE).any() == bool(accepted)
        assert len({call[0].seed for call in stand_in.calls}) == 3
        stats = transform.stats()
        assert (stats["edits"], stats["attempts"], stats.get("accepted", 0)) == (1, 3, accepted)

    def test_a_high_reject_rate_is_counted_and_warned_of_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand_in = Painter(rejects=10**6)
        hand_in(monkeypatch, stand_in)
        transform = self.make(p=1.0, retries=0)
        with pytest.warns(RuntimeWarning, match="rejected") as caught:
            for _ in range(30):
                self.run(transform)
        assert len(caught) == 1
        assert transform.stats()["rejected: near constant"] == 30

    # The class

    def test_both_faces_have_the_same_arguments(self) -> None:
        from inpaint_transform import BBoxInpaint

        ours = dict(inspect.signature(self.face.transform.__init__).parameters)
        ours.pop("labels_getter", None)
        others = dict(inspect.signature(BBoxInpaint.__init__).parameters)
        assert [(name, ours[name].default) for name in ours] == [(name, others[name].default) for name in others]

    def test_importing_loads_no_models(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {self.face.before_import}; "
            f"from {self.face.module} import BBoxInpaint; "
            f"print([name for name in {self.face.absent} if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        assert found.strip() == "[]"
