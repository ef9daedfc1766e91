"""The editor on its own: a sample of two arrays, and a painter that is handed in."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from painters import Painter
from warned import warned

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.core.plan import Scene
from inpaint_transform.faces import editor as editor_module
from inpaint_transform.faces.editor import Editor
from inpaint_transform.gates import ClipGate
from inpaint_transform.serving.pool import pool as pool_module

IMAGE = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
BOXES = [(10, 10, 50, 60), (60, 20, 110, 90)]


class Flat:
    """A sample of an image and boxes that remembers whether it was read."""

    def __init__(self, image: np.ndarray = IMAGE, boxes=BOXES) -> None:
        self.image, self.boxes, self.read = image, boxes, False

    def key(self):
        return self.image, np.asarray(self.boxes) / 100

    def labels(self) -> list[str]:
        return ["cat", "dog"] if len(self.boxes) else []

    def scene(self) -> Scene:
        self.read = True
        return Scene(*self.image.shape[:2], self.boxes, ["cat", "dog"])


def editor(painter: Painter | None = None, **arguments) -> Editor:
    return Editor({**BBoxInpaint().editor.arguments, **arguments}, connect=lambda spec, session: painter or Painter())


def test_a_sample_that_does_not_fire_is_not_read() -> None:
    sample = Flat()
    assert editor().draw(sample, 0.0) == []
    assert not sample.read


def test_the_schedule_has_its_say_in_every_epoch() -> None:
    late = editor(schedule={"epochs": 4, "start": 1})
    assert late.draw(Flat(), 1.0, forced=True) == []
    late.epoch.value = 1
    assert late.draw(Flat(), 1.0)


def test_with_a_seed_the_content_decides_and_no_generator_moves() -> None:
    one, stream = editor(seed=5), random.Random(0)
    before = stream.getstate(), torch.get_rng_state()
    drawn = one.draw(Flat(), 1.0, stream)
    assert (stream.getstate(), torch.get_rng_state().tolist()) == (before[0], before[1].tolist())
    assert drawn == editor(seed=5).draw(Flat(), 1.0)
    assert drawn != editor(seed=6).draw(Flat(), 1.0)
    assert drawn != one.draw(Flat(boxes=[(10, 10, 50, 60), (61, 20, 110, 90)]), 1.0)
    one.epoch.value = 1
    assert drawn != one.draw(Flat(), 1.0)


def test_a_stream_stands_still_where_there_is_nothing_to_decide() -> None:
    for p, forced in ((1.0, False), (0.3, True)):
        decided, bare = random.Random(7), random.Random(7)
        edits = editor(num_boxes=2).draw(Flat(), p, decided, forced=forced)
        assert len(edits) == 2
        assert decided.random() != bare.random()  # the plan has drawn
        again = random.Random(7)
        assert editor(num_boxes=2).draw(Flat(), 1.0, again) == edits


def test_the_same_edits_go_into_all_images_in_one_call() -> None:
    painter = Painter()
    one = editor(painter, num_boxes=2, seed=0)
    edits = one.draw(Flat(), 1.0)
    painted, accepted, _ = one.paint_same([IMAGE, IMAGE.copy(), 255 - IMAGE], edits)
    assert [len(call) for call in painter.calls] == [6]
    assert accepted == edits
    assert np.array_equal(painted[0], painted[1])
    assert one.tally.counts()["accepted"] == 6


def test_a_failure_is_raised_or_skipped() -> None:
    class Broken(Painter):
        def paint(self, requests):
            raise InpaintError("the card is gone")

    edits = editor(seed=0).draw(Flat(), 1.0)
    with pytest.raises(InpaintError, match="the card is gone"):
        editor(Broken()).paint_same([IMAGE], edits)
    skipping = editor(Broken(), on_error="skip")
    with pytest.warns(RuntimeWarning, match="the card is gone"):
        painted, accepted, _ = skipping.paint_same([IMAGE], edits)
    assert painted[0] is IMAGE
    assert accepted == []


def test_counters_that_cannot_be_had_are_raised_or_skipped() -> None:
    class Deaf(Painter):
        def stats(self):
            raise InpaintError("somebody else listens there")

    with pytest.raises(InpaintError, match="somebody else"):
        editor(Deaf()).stats()
    stats = editor(Deaf(), on_error="skip").stats()
    assert stats["inpainter"] == {}


def test_a_gate_that_asks_clip_needs_no_pipeline_of_its_own() -> None:
    asked = []

    def connect(spec, session):
        asked.append(spec)
        return Painter()

    for gate in (None, ClipGate()):
        _ = Editor({**BBoxInpaint().editor.arguments, "gate": gate}, connect=connect).inpainter
    assert asked[0] == asked[1]


def told_in_three_epochs(monkeypatch: pytest.MonkeyPatch, image_of, **arguments) -> list[str]:
    """What a transform warns of in three epochs of 120 samples that all fire."""
    monkeypatch.setattr(pool_module, "HINTS_S", 0.0)
    one = editor(gate=None, p=1.0, prompts="a {label}", **arguments)
    with warned("were painted") as said:
        for epoch in range(3):
            one.epoch.value = epoch
            for number in range(120):
                image = image_of(epoch, number)
                one.paint_same([image], one.draw(Flat(image), 1.0))
            one.pool.flush()
        one.draw(Flat(image_of(2, 0)), 1.0)
    return said


def test_a_transform_behind_a_random_crop_is_told_to_stand_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cropped(epoch: int, number: int) -> np.ndarray:
        return np.random.default_rng((epoch, number)).integers(0, 256, (100, 120, 3), np.uint8)

    reuse = {"path": str(tmp_path / "pool"), "variants": 1}
    [said] = told_in_three_epochs(monkeypatch, cropped, reuse=reuse)
    assert "place the transform before random crops" in said
    assert "p=1 is 0:" in said


def test_a_transform_whose_objects_come_again_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reuse = {"path": str(tmp_path / "pool"), "variants": 1}
    assert told_in_three_epochs(monkeypatch, lambda epoch, number: IMAGE, reuse=reuse) == []


class Labelled(Flat):
    """A sample with other labels."""

    def __init__(self, *labels) -> None:
        super().__init__(boxes=[(10, 10, 50, 60)] * len(labels))
        self.given = list(labels)
        self.asked = 0

    def labels(self):
        self.asked += 1
        return self.given if self.given != [None] else None

    def scene(self) -> Scene:
        return Scene(*self.image.shape[:2], self.boxes, self.labels())


@pytest.mark.parametrize(
    ("settings", "labels", "said"),
    [
        ({}, ["cat", 3], "label 3 is a number; give class_names={3: 'noun'"),
        ({"class_names": {1: "cat"}}, [1, 2], "has no entry for label 2; add it"),
        ({"class_names": ["cat", "dog"]}, [1, 2], "label 2; add it. A list names the ids from 0 on.*COCO"),
        ({"class_names": {"cat": "tabby"}}, ["cat", "dog"], "has no entry for label 'dog'"),
        ({"prompts": {"cat": "a cat"}}, ["cat", "dog"], "prompts has no entry for label 'dog'"),
        (
            {"prompts": {"cat": "a cat"}, "class_names": ["cat", "dog"]},
            [0, 1],
            "label 1 .'dog'.; it knows 0 .'cat'.. Add",
        ),
        ({"prompts": {"cat": "a cat"}, "relabel": {"cat": "dog"}}, ["cat"], "prompts has no entry for label 'dog'"),
        ({"prompts": {1: "a cat"}, "relabel": {1: [1, 2]}}, [1], "label 2, which is what relabel makes of label 1; it"),
        (
            {"prompts": {"cat": "a cat"}, "relabel": {"cat": "dog"}, "class_names": {1: "cat", 2: "dog"}},
            [1],
            "label 2 .'dog'., which is what relabel makes of label 1 .'cat'.; it knows 1 .'cat'.. Add a prompt for "
            "label 2 .'dog'., or take it out of relabel",
        ),
        ({"include_labels": ["Cat"]}, ["cat"], "include_labels has 'Cat', but a label is 'cat'"),
        ({"include_labels": ["cat"], "class_names": ["dog"]}, [0], "include_labels has 'cat', which is none of"),
        ({"exclude_labels": [7], "class_names": ["dog"]}, [0], "exclude_labels has 7, which is none of"),
        ({"box_p": {2: 0.5}, "class_names": ["dog"]}, [0], "box_p has 2, which is none of"),
        ({"relabel": {"cat": "dgo"}, "class_names": ["cat", "dog"]}, [0], "relabel has 'dgo'.*did you mean 'dog'"),
        ({"relabel": {"cat": "dog"}, "linked_fields": {"id": {"cat": 1}}}, ["cat"], "no value for the label 'dog'"),
        ({"gate": ClipGate("tiny"), "prompts": "a thing"}, [3], "label 3 is a number"),
        ({}, [None], "the prompt needs {label}, but the sample has no labels"),
        ({}, ["cat", None], "a box has the label None, and the prompt is by label; give each box one"),
        ({"prompts": {"cat": "a cat"}}, [None], "prompts are by label, but the sample has no labels"),
        ({"include_labels": ["cat"]}, [None], "include_labels chooses by label, but the sample has no labels"),
    ],
)
def test_what_does_not_fit_the_labels_is_said_at_the_first_sample(settings: dict, labels: list, said: str) -> None:
    one = editor(**settings)
    for sample in (Labelled(), Labelled()):  # without boxes nothing is known yet
        assert one.draw(sample, 0.0) == []
    for _ in range(2):  # and it is no less wrong the second time
        with pytest.raises(ValueError, match=said.replace("{label}", r"\{label\}").replace("; add it. A", ".*A")):
            one.draw(Labelled(*labels), 0.0)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"prompts": {"cat": "a cat"}, "include_labels": ["cat"]}, ["cat", "dog"]),
        ({"prompts": {"cat": "a cat"}, "exclude_labels": ["dog"]}, ["cat", "dog"]),
        ({"prompts": {"cat": "a cat"}, "box_p": {"cat": 0.3, "dog": 0}}, ["cat", "dog", "elk"]),
        ({"prompts": {"dog": "a dog"}, "relabel": {"cat": "dog"}}, ["cat", "dog"]),
        ({"prompts": "a thing"}, [1, 2.0]),
        ({"prompts": "a thing"}, [None]),
        ({"prompts": lambda label, slots, rng: "a thing"}, [1]),
        ({"class_names": {1: "cat"}, "include_labels": ["cat"]}, [1, 2]),
        ({"relabel": {"cat": "dog"}, "linked_fields": {"id": None}}, ["cat"]),
    ],
)
def test_labels_that_are_never_painted_need_no_words(settings: dict, labels: list) -> None:
    editor(**settings).draw(Labelled(*labels), 0.0)


def test_a_label_that_comes_late_is_checked_once_its_sample_fires_drawn_or_not(monkeypatch) -> None:
    monkeypatch.setattr(editor_module, "CHECKED_SAMPLES", 2)
    one = editor(prompts={"cat": "a cat"}, min_box_size=90)
    sample = Labelled("cat")
    for _ in range(10):
        one.draw(sample, 0.0)
    assert sample.asked == 2  # those that do not fire are not read any more
    assert one.draw(Labelled("dog"), 0.0) == []
    with pytest.raises(ValueError, match="no entry for label 'dog'"):
        one.draw(Labelled("cat", "dog"), 1.0)


def test_a_frozen_pool_without_any_of_the_objects_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pictures(seed: int):
        return lambda epoch, number: np.random.default_rng((seed, number)).integers(0, 256, (100, 120, 3), np.uint8)

    reuse = {"path": str(tmp_path / "pool"), "variants": 1}
    told_in_three_epochs(monkeypatch, pictures(0), reuse={**reuse, "wait": True})
    [said] = told_in_three_epochs(monkeypatch, pictures(1), reuse={**reuse, "frozen": True})
    assert re.search(r"has \d+ looks, but none of these objects", said)
    assert told_in_three_epochs(monkeypatch, pictures(0), reuse={**reuse, "frozen": True}) == []


def test_twenty_edits_without_a_hit_are_enough_in_a_frozen_pool(tmp_path: Path) -> None:
    reuse = {"path": str(tmp_path / "pool"), "variants": 1}
    filling = editor(gate=None, p=1.0, prompts="a {label}", reuse={**reuse, "wait": True})
    filling.paint_same([IMAGE], filling.draw(Flat(IMAGE), 1.0))
    frozen = editor(gate=None, p=1.0, prompts="a {label}", reuse={**reuse, "frozen": True})
    other = 255 - IMAGE
    with warned("none of these objects") as said:
        for _ in range(40):
            frozen.paint_same([other], frozen.draw(Flat(other), 1.0))
    assert len(said) == 1


def test_the_stats_of_a_frozen_pool_say_where_the_numbers_are(tmp_path: Path) -> None:
    reuse = {"path": str(tmp_path / "pool"), "variants": 1}
    filling = editor(gate=None, p=1.0, prompts="a {label}", seed=0, reuse={**reuse, "wait": True})
    filling.paint_same([IMAGE], filling.draw(Flat(IMAGE), 1.0))
    assert "note" not in filling.stats()
    frozen = editor(gate=None, p=1.0, prompts="a {label}", seed=0, reuse={**reuse, "frozen": True})
    assert "edits_key='inpainted'" in frozen.stats()["note"]
    frozen.paint_same([IMAGE], frozen.draw(Flat(IMAGE), 1.0))
    found = frozen.stats()
    assert found["reuse"]["hit"] == 1
    assert "note" not in found
