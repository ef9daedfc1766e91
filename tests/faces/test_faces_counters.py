"""What is said when nothing is painted, when a gate rejects all, and when something fails that may be passed over."""

from __future__ import annotations

import albumentations as A
import numpy as np
import pytest
from painters import Painter, hand_in
from warned import warned

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.core.edit import Edit, failed
from inpaint_transform.faces.counters import ENOUGH_SAMPLES, MANY_SAMPLES, Tally
from inpaint_transform.gates import ChangeGate

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOX = [20, 30, 80, 80]


def compose(*transforms, fields=("labels",)) -> A.Compose:
    return A.Compose(list(transforms), bbox_params=A.BboxParams("pascal_voc", label_fields=list(fields)))


def said(call, times: int = 1) -> list[str]:
    with warned("") as messages:
        for _ in range(times):
            call()
    return messages


@pytest.mark.parametrize(
    ("arguments", "box", "label", "reason"),
    [
        ({"include_labels": ["cat"]}, BOX, "car", "not in include_labels"),
        ({}, [20, 30, 40, 50], "car", "smaller than min_box_size=32"),
        ({"box_p": {"bus": 1.0}}, BOX, "car", "box_p is 0"),
    ],
)
def test_samples_without_a_box_to_paint_are_said_once_and_counted(painter, arguments, box, label, reason) -> None:
    transform = BBoxInpaint(p=1.0, **arguments)
    pipeline = compose(transform)

    def call() -> None:
        pipeline(image=IMAGE, bboxes=[box, box], labels=[label] * 2)

    assert said(call, ENOUGH_SAMPLES - 1) == []
    [message] = said(call, 20)
    assert f"none of {ENOUGH_SAMPLES} samples had a box that may be painted" in message
    assert reason in message
    assert transform.stats()["unpainted"] == {"samples": ENOUGH_SAMPLES + 19, reason: 2 * (ENOUGH_SAMPLES + 19)}


def test_a_warning_points_at_the_line_that_called_the_pipeline(painter: Painter, tmp_path) -> None:
    pipeline = compose(BBoxInpaint(p=1.0, log=tmp_path / "log.jsonl", log_key="name"))
    with pytest.warns(RuntimeWarning, match="log_key='name' is no key") as caught:
        pipeline(image=IMAGE, bboxes=[BOX], labels=["car"])
    assert [warning.filename for warning in caught] == [__file__]


def test_nothing_is_said_where_some_are_painted(painter: Painter) -> None:
    transform = BBoxInpaint(p=1.0, include_labels=["cat"])
    pipeline = compose(transform)
    pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"])
    assert said(lambda: pipeline(image=IMAGE, bboxes=[], labels=[]), 2 * ENOUGH_SAMPLES) == []
    assert transform.stats()["unpainted"] == {"samples": 2 * ENOUGH_SAMPLES, "no boxes": 2 * ENOUGH_SAMPLES}


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        ("relabel", {"relabel": {"sedna": "police car"}}),
        ("exclude_labels", {"exclude_labels": ["sedna"]}),
        ("box_p", {"box_p": {"sedna": 0.5, "bus": 1.0}}),
        ("include_labels", {"include_labels": ["sedna", "bus"]}),
    ],
)
def test_a_class_that_only_looks_like_a_label_is_said_once(painter: Painter, setting, arguments) -> None:
    pipeline = compose(BBoxInpaint(p=1.0, **arguments))

    def call() -> None:
        pipeline(image=IMAGE, bboxes=[BOX, [120, 30, 180, 90]], labels=["sedan", "bus"])

    assert said(call, ENOUGH_SAMPLES - 1) == []
    [message] = said(call, 20)
    assert f"{setting} has 'sedna', and no box of {ENOUGH_SAMPLES} samples is labelled so; did you mean" in message


def test_a_rare_class_and_a_new_one_are_no_typos(painter: Painter) -> None:
    swap = {"sedan": "sedans", "tram": "bus"}
    pipeline = compose(BBoxInpaint(p=1.0, relabel=swap, exclude_labels=["zebra"]))
    assert said(lambda: pipeline(image=IMAGE, bboxes=[BOX], labels=["sedan"]), 2 * ENOUGH_SAMPLES) == []


def test_black_images_of_12_bits_are_said_once(painter: Painter) -> None:
    pipeline = compose(BBoxInpaint(p=1.0))
    dark = IMAGE.astype(np.uint16) * 16
    [message] = said(lambda: pipeline(image=dark, bboxes=[BOX], labels=["cat"]), 3)
    assert "values up to 4080, and of 65535 that is black" in message
    assert said(lambda: pipeline(image=dark * 16, bboxes=[BOX], labels=["cat"]), 3) == []


@pytest.mark.parametrize("told", [False, True])
def test_a_schedule_whose_epochs_nobody_counts_is_said_once(painter: Painter, told: bool) -> None:
    transform = BBoxInpaint(p=0.01, schedule={"epochs": 10, "start": 2})
    if told:
        transform.set_epoch(0)
    small = IMAGE[:32, :32]
    messages = said(lambda: transform(image=small, bboxes=[]), MANY_SAMPLES + 5)
    assert [("set_epoch was never called" in message) for message in messages] == ([] if told else [True])


def test_a_gate_that_rejects_all_is_said_with_its_scores(painter: Painter) -> None:
    pipeline = compose(BBoxInpaint(p=1.0, gate=ChangeGate(min_inside=254), retries=0))
    messages = said(lambda: pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"]), 60)
    hopeless = [message for message in messages if "only 0 of 30 painted boxes were accepted" in message]
    assert len(hopeless) == 1
    assert "median scores are change" in hopeless[0]
    assert "min_inside=254" in hopeless[0]


def test_a_wrong_log_key_is_said_once(painter: Painter, tmp_path) -> None:
    pipeline = compose(BBoxInpaint(p=1.0, log=tmp_path / "log.jsonl", log_key="nmae"))
    [message] = said(lambda: pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"], name="a"), 5)
    assert "log_key='nmae' is no key of the sample" in message


@pytest.mark.parametrize(
    ("idle", "needs", "said_of_it"),
    [
        ({"log_crops": True}, {"log": "log.jsonl"}, "log_crops=True without log=...: no crop is saved"),
        ({"log_key": "name"}, {"log": "log.jsonl"}, "log_key='name' without log=...: no log is written"),
        (
            {"linked_fields": {"id": None}},
            {"relabel": {"cat": "dog"}},
            "linked_fields={'id': None} without relabel=...",
        ),
    ],
)
def test_an_argument_that_does_nothing_without_another_is_said(idle, needs, said_of_it) -> None:
    [message] = said(lambda: BBoxInpaint(**idle))
    assert said_of_it in message
    assert said(lambda: BBoxInpaint(**idle, **needs)) == []


def test_a_compose_without_boxes_is_said_once(painter: Painter) -> None:
    pipeline = A.Compose([BBoxInpaint(p=1.0)])
    [message] = said(lambda: pipeline(image=IMAGE), 5)
    assert "the sample has no bboxes" in message
    assert "bbox_params" in message
    painting = A.Compose([BBoxInpaint(prompts="a puddle", when_no_box="random", p=1.0)])
    assert said(lambda: painting(image=IMAGE), 5) == []


@pytest.mark.parametrize("error", [InpaintError("no luck"), OSError(24, "Too many open files")])
def test_failures_are_one_boundary(monkeypatch: pytest.MonkeyPatch, tmp_path, error: Exception) -> None:
    class Broken(Painter):
        def paint(self, requests):
            raise error

        def stats(self):
            raise error

    hand_in(monkeypatch, Broken())
    transform = BBoxInpaint(p=1.0, on_error="skip", log=tmp_path / "log.jsonl")
    pipeline = compose(transform)
    messages = said(lambda: pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"]), 5)
    assert len(messages) == 1
    assert str(error) in messages[0]
    assert len(said(transform.stats, 2)) == 1
    assert transform.editor.tally.counts()["errors"] == 7
    with pytest.raises(type(error)):
        compose(BBoxInpaint(p=1.0))(image=IMAGE, bboxes=[BOX], labels=["cat"])


def test_a_log_that_cannot_be_written_costs_no_pixels(painter: Painter, tmp_path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    transform = BBoxInpaint(p=1.0, on_error="skip", log=tmp_path / "taken" / "log.jsonl")
    pipeline = compose(transform)
    with pytest.warns(RuntimeWarning, match="the log cannot be written"):
        result = pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"])
    assert (result["image"] != IMAGE).any()


def test_numbers_that_a_compose_changes(painter: Painter) -> None:
    large = 2**24 + 1
    with pytest.raises(ValueError, match="the label field 'labels' has numbers from 16777216 on"):
        compose(BBoxInpaint(prompts="a", p=1.0))(image=IMAGE, bboxes=[BOX], labels=[large])
    swapping = compose(BBoxInpaint(prompts="a", relabel={3: large}, p=1.0))
    with pytest.raises(ValueError, match="relabel gives 16777217"):
        swapping(image=IMAGE, bboxes=[BOX], labels=[3])
    pipeline = compose(BBoxInpaint(prompts="a", p=1.0), fields=("labels", "id"))
    messages = said(lambda: pipeline(image=IMAGE, bboxes=[BOX], labels=["cat"], id=[large]), 3)
    assert len(messages) == 1
    assert "'id' has numbers from 16777216 on" in messages[0]


def test_counters_without_edits_of_its_own_have_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(Painter):
        def stats(self):
            return {"requests": 12}

    hand_in(monkeypatch, Busy())
    transform = BBoxInpaint(p=1.0)
    assert "DataLoader's workers" in transform.stats()["note"]
    compose(transform)(image=IMAGE, bboxes=[BOX], labels=["cat"])
    assert "note" not in transform.stats()


def test_counts_call_ids_by_their_names() -> None:
    tally = Tally()
    edits = [Edit(0, (0, 0, 9, 9), (0, 0, 9, 9), label, "", "", 1.0, 5) for label in (1, 2, 3, 1)]
    tally.count(failed(edit, "error") for edit in edits)
    assert {name: counts["edits"] for name, counts in tally.classes({1: "cat", 2: "dog", 3: "dog"}).items()} == {
        "cat": 2,
        "dog": 2,
    }
    assert set(tally.classes()) == {"1", "2", "3"}


def test_a_swap_into_a_mistyped_class_is_said_once(painter: Painter) -> None:
    """A new class is allowed; one that looks like a label is probably none."""

    def messages(target: str) -> list[str]:
        pipeline = compose(BBoxInpaint(relabel={"cone": target}, p=1.0))
        return said(lambda: pipeline(image=IMAGE, bboxes=[BOX, [90, 30, 150, 80]], labels=["cone", "cube"]), 120)

    assert [one for one in messages("cub") if "did you mean 'cube'?" in one and "relabel has 'cub'" in one]
    assert messages("zebra") == messages("cube") == []
