"""Class swaps: which labels are rewritten, and through Albumentations that they follow the pixels, and only then."""

from __future__ import annotations

import json
from collections import Counter

import albumentations as A
import numpy as np
import pytest
from painters import Painter

from inpaint_transform import BBoxInpaint
from inpaint_transform.batch import BatchInpaint
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.errors import GateError
from inpaint_transform.core.swaps import Swap
from inpaint_transform.faces.relabel import check_linked, check_relabel, linked_value, linked_values, new_labels
from inpaint_transform.gates import ChangeGate, ClipGate, FillGate, Gate

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOXES = [[20, 30, 60, 50], [100, 20, 40, 70]]
SWAP = {"camaro": "a rather long accord"}


def compose(*transforms, fields=("labels",), **options):
    return A.Compose(list(transforms), bbox_params=A.BboxParams("coco", label_fields=list(fields)), **options)


def swapping(relabel=SWAP, **arguments):
    return BBoxInpaint(prompts="a {label}", relabel=relabel, **{"num_boxes": 2, "p": 1.0, **arguments})


def run(transform, labels=("camaro", "bus"), boxes=BOXES, **more):
    return transform(image=IMAGE.copy(), bboxes=boxes, labels=labels, **more)


def test_only_swapped_boxes_get_a_label_and_an_empty_one_counts() -> None:
    box = (0, 0, 9, 9)
    edits = [Edit(0, box, box, "car", "", "", 1.0, 5, new_label=new) for new in (None, "bus", 0, "")]
    assert new_labels(zip(edits, (4, 2, 7, 1), strict=True)) == {2: "bus", 7: 0, 1: ""}


def test_what_other_fields_become() -> None:
    linked = {"id": {"car": 3, "bus": 4}, "crowd": None, "elsewhere": {"car": 1}}
    found = linked_values({0: "car", 5: "bus"}, ["id", "crowd", "other"], linked)
    assert found == {"id": {0: 3, 5: 4}}
    assert linked_value({"id": {"7": 3}}, "id", 7) == 3
    assert linked_value({"id": {"car": 3}}, "id", 7, {7: "car"}) == 3
    with pytest.raises(ValueError, match=r"linked_fields=\{'id': \{'car': 3\}\} has no value for the label 'bus'"):
        linked_value({"id": {"car": 3}}, "id", "bus")


def test_what_cannot_be_relabelled_is_refused_with_the_mend() -> None:
    check_relabel(True, 1, "labels")
    check_linked(["labels", "id"], "labels", {"id": None})
    with pytest.raises(ValueError, match="the sample has none; give labels"):
        check_relabel(False, 1, "labels")
    with pytest.raises(ValueError, match="a single image"):
        check_relabel(True, 2, "labels")
    with pytest.raises(ValueError, match=r"linked_fields=\{'id': None\} if it does not"):
        check_linked(["labels", "id"], "labels", {"x": None})


@pytest.mark.parametrize(
    "labels",
    [["camaro", "bus"], ("camaro", "bus"), np.array(["camaro", "bus"]), np.array(["camaro", "bus"], dtype=object)],
    ids=["list", "tuple", "array", "object array"],
)
def test_the_new_label_comes_out_whole_in_every_form(painter: Painter, labels) -> None:
    result = run(compose(swapping()), labels)
    assert list(result["labels"]) == ["a rather long accord", "bus"]
    assert {request.prompt for request in painter.calls[0]} == {"a a rather long accord", "a bus"}
    assert isinstance(result["labels"], np.ndarray) == isinstance(labels, np.ndarray)
    # The next sample too, though the Compose has seen this one.
    assert list(run(compose(swapping()), ["bus", "camaro"])["labels"]) == ["bus", "a rather long accord"]


@pytest.mark.parametrize("labels", [[3, 7], np.array([3, 7]), np.array([3, 7], np.uint8), np.array([3.0, 7.0])])
def test_numbers_stay_numbers(painter: Painter, labels) -> None:
    names = {3: "camaro", 7: "bus", 12: "accord"}
    for relabel in ({3: 12}, {3: [12]}, {3: {12: 1.0}}, json.loads(json.dumps({3: {12: 1.0}}))):
        result = run(compose(swapping(relabel, class_names=names)), labels)
        assert list(result["labels"]) == [12, 7]
        assert {request.prompt for request in painter.calls[-1]} == {"a accord", "a bus"}


def test_boxes_and_the_order_of_targets_do_not_matter(painter: Painter) -> None:
    transform = compose(swapping())
    first = transform(bboxes=BOXES, labels=["camaro", "bus"], image=IMAGE.copy())
    noop = compose(A.NoOp(p=1.0))(image=IMAGE.copy(), bboxes=BOXES, labels=["camaro", "bus"])
    assert first["labels"] == ["a rather long accord", "bus"]
    assert np.array_equal(first["bboxes"], noop["bboxes"])
    assert list(first) == list(transform(bboxes=BOXES, labels=["bus", "bus"], image=IMAGE.copy()))


def test_labels_survive_what_comes_after_and_around(painter: Painter) -> None:
    transform = compose(
        A.HorizontalFlip(p=1.0),
        A.Sequential([A.OneOf([swapping()], p=1.0), A.NoOp(p=1.0)], p=1.0),
        A.VerticalFlip(p=1.0),
        A.Crop(0, 0, 150, 120),
    )
    for _ in range(3):
        result = run(transform, ["bus", "camaro"])
        assert result["labels"] == ["bus", "a rather long accord"]
    assert run(transform, ["bus", "tram"])["labels"] == ["bus", "tram"]


def test_a_rejected_swap_keeps_pixels_and_label(painter: Painter) -> None:
    painter.rejects = 1
    result = run(compose(swapping(retries=0)))
    assert result["labels"] == ["camaro", "bus"]
    assert np.array_equal(result["image"], IMAGE)


def test_a_gate_decides_over_each_label(painter: Painter) -> None:
    def long_enough(original, painted, label, box):
        return label != "accord"

    transform = swapping({"camaro": "accord", "bus": "tram"}, gate=long_enough, retries=1)
    result = run(compose(transform))
    assert result["labels"] == ["camaro", "tram"]
    changed = (result["image"] != IMAGE).any(axis=2)
    assert not changed[30:80, 20:80].any()
    assert changed[20:90, 100:140].any()
    assert [len(call) for call in painter.calls] == [2, 1]
    stats = transform.stats()["classes"]
    assert stats["accord"]["rejected: by the gate 'long_enough'"] == 1
    assert stats["tram"]["accepted"] == 1


@pytest.mark.parametrize("answer", [float("nan"), None, "good", RuntimeError("no detector")])
def test_a_broken_gate_follows_on_error(painter: Painter, answer) -> None:
    def broken(original, painted, label, box):
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(GateError, match="the gate 'broken'"):
        run(compose(swapping(gate=broken)))
    transform = swapping(gate=broken, on_error="skip")
    with pytest.warns(RuntimeWarning, match="the gate 'broken'"):
        result = run(compose(transform))
    assert result["labels"] == ["camaro", "bus"]
    assert np.array_equal(result["image"], IMAGE)
    assert transform.stats()["errors"] == 1


def test_gates_are_asked_once_a_round_for_the_whole_sample(painter: Painter) -> None:
    seen: list[int] = []

    class Counting(Gate):
        name = "counting"

        def verdicts(self, candidates):
            seen.append(len(candidates))
            return [(0.0, len(seen) > 1)] * len(candidates)

    run(compose(swapping(gate=Counting())))
    assert seen == [2, 2]
    assert [len(call) for call in painter.calls] == [2, 2]


@pytest.mark.parametrize("labels", [[3, 7], ["a", "b"]])
def test_a_gate_that_asks_no_clip_needs_no_words(painter: Painter, labels) -> None:
    transform = BBoxInpaint(prompts="a thing", gate=ChangeGate(), p=1.0)
    assert (run(compose(transform), labels)["image"] != IMAGE).any()
    alone = BBoxInpaint(prompts="a thing", when_no_box="random", gate=ChangeGate(), p=1.0)
    assert (alone(image=IMAGE.copy())["image"] != IMAGE).any()


def test_a_gate_that_asks_clip_does(painter: Painter) -> None:
    with pytest.raises(ValueError, match="label 3 is a number; give class_names"):
        run(compose(BBoxInpaint(prompts="a thing", gate=ClipGate(), p=1.0, include_labels=[3])), [3, 7])


def test_a_gate_serialises_unless_it_is_a_function(painter: Painter) -> None:
    gate = ChangeGate() & FillGate(0.1)
    saved = A.to_dict(compose(swapping(gate=gate)))
    again = A.from_dict(json.loads(json.dumps(saved)))
    assert A.to_dict(again) == saved
    assert again.transforms[0].editor.gate == gate
    with pytest.raises(TypeError, match="is a function or holds one"):
        A.to_dict(compose(swapping(gate=lambda original, painted, label, box: True)))


def test_on_error_skip_keeps_the_label(monkeypatch: pytest.MonkeyPatch, painter: Painter) -> None:
    from inpaint_transform import InpaintError

    def fail(requests):
        raise InpaintError("no memory")

    painter.paint = fail
    with pytest.warns(RuntimeWarning, match="no memory"):
        assert run(compose(swapping(on_error="skip")))["labels"] == ["camaro", "bus"]
    with pytest.raises(InpaintError):
        run(compose(swapping()))


def test_other_fields_follow_or_are_declared_independent(painter: Painter) -> None:
    fields = ("labels", "category_id", "crowd")
    more = {"category_id": [3, 9], "crowd": [0, 1]}
    linked = {"category_id": {"a rather long accord": 7}, "crowd": None}
    result = run(compose(swapping(linked_fields=linked), fields=fields), **more)
    assert result["labels"] == ["a rather long accord", "bus"]
    assert list(result["category_id"]) == [7, 9]
    assert list(result["crowd"]) == [0, 1]
    with pytest.raises(ValueError, match="label field 'category_id' too.*as Ultralytics does.*--swap"):
        run(compose(swapping(), fields=fields), **more)
    with pytest.raises(ValueError, match="no value for the label 'a rather long accord'"):
        run(compose(swapping(linked_fields={"category_id": {"x": 1}, "crowd": None}), fields=fields), **more)


def test_the_second_field_can_be_the_class(painter: Painter) -> None:
    transform = swapping(label_field="kind", linked_fields={"labels": None})
    result = run(compose(transform, fields=("labels", "kind")), [1, 2], kind=["bus", "camaro"])
    assert result["kind"] == ["bus", "a rather long accord"]
    assert list(result["labels"]) == [1, 2]


@pytest.mark.parametrize(
    ("relabel", "labels", "names", "message"),
    [
        ({3: "accord"}, [3, 7], {3: "a", 7: "b", "accord": "c"}, "'labels' holds numbers"),
        (
            {"camaro": 5},
            ["camaro", "bus"],
            {"camaro": "a", "bus": "b", 5: "c"},
            "relabel has 5, which is none of class_names",
        ),
        ({3: 300}, np.array([3, 7], np.uint8), {3: "a", 7: "b", 300: "c"}, "numbers of uint8"),
    ],
)
def test_a_label_that_the_field_cannot_hold_is_named(painter: Painter, relabel, labels, names, message) -> None:
    with pytest.raises(ValueError, match=message):
        run(compose(swapping(relabel, class_names=names)), labels)


def test_weights_sizes_and_seeds(painter: Painter) -> None:
    swap = Swap({"camaro": {"accord": 1, "camaro": 1}}, sizes={"accord": 55})
    transform = compose(swapping(swap, num_boxes=1))
    drawn = Counter(run(transform, ["camaro"], BOXES[:1])["labels"][0] for _ in range(60))
    assert set(drawn) == {"accord", "camaro"}
    small = compose(swapping(Swap({"camaro": "accord"}, sizes={"accord": 200})))
    assert run(small)["labels"] == ["camaro", "bus"]
    assert len(painter.calls[-1]) == 1  # the bus only
    seeded = swapping(swap, seed=4, num_boxes=1)
    labels = {tuple(run(compose(seeded))["labels"]) for _ in range(5)}
    assert len(labels) == 1


def test_a_swap_serialises_and_replays(painter: Painter) -> None:
    transform = compose(swapping(Swap({"camaro": "accord"}, {"accord": 50.0})))
    again = A.from_dict(json.loads(json.dumps(A.to_dict(transform))))
    assert run(again)["labels"] == ["accord", "bus"]
    replay = A.ReplayCompose([swapping()], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
    first = run(replay)
    second = A.ReplayCompose.replay(
        json.loads(json.dumps(first["replay"])), image=IMAGE.copy(), bboxes=BOXES, labels=["camaro", "bus"]
    )
    assert second["labels"] == first["labels"] == ["a rather long accord", "bus"]
    assert np.array_equal(first["image"], second["image"])


def test_places_without_a_label_to_rewrite_are_refused(painter: Painter) -> None:
    with pytest.raises(ValueError, match="relabel needs a single image"):
        compose(swapping())(images=np.stack([IMAGE, IMAGE]), bboxes=BOXES, labels=["camaro", "bus"])
    with pytest.raises(ValueError, match="relabel"):
        BatchInpaint(swapping())
