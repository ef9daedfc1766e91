"""Gates: what they accept, what they say of bad gates, and how they are put together."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.boxes import iou
from inpaint_transform.core.errors import GateError, InpaintError
from inpaint_transform.gates import (
    AllOf,
    Candidate,
    ChangeGate,
    ClipGate,
    DetectorGate,
    FillGate,
    Gate,
    ScoreGate,
    gate_of,
    torchvision_detector,
)
from inpaint_transform.gates.detector import detect

SIDE = 40
BOX = (10, 10, 30, 30)


def window(level: int = 90) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def painted(box: tuple[int, int, int, int] = BOX, level: int = 200) -> np.ndarray:
    image = window()
    image[box[1] : box[3], box[0] : box[2]] = level
    return image


def candidate(after: np.ndarray | None = None, **fields: Any) -> Candidate:
    known = {"label": "car", "noun": "car", "other_nouns": ("bus", "tram")}
    return Candidate(window(), painted() if after is None else after, BOX, **{**known, **fields})


@dataclasses.dataclass(frozen=True)
class Says(Gate):
    """A gate that says what it is told to, and remembers what it saw."""

    answer: Any
    name: str = "says"
    seen: list[int] = dataclasses.field(default_factory=list)

    def verdicts(self, candidates):
        self.seen.append(len(candidates))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(candidates) if callable(self.answer) else self.answer


boxes = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


# Fill


@pytest.mark.parametrize(("right", "accepted"), [(30, True), (18, True), (17, False), (10, False)])
def test_the_fill_gate(right, accepted):
    [verdict] = FillGate(0.4).judge([candidate(painted((10, 10, right, 30)))])
    assert verdict.score == pytest.approx((right - 10) / 20)
    assert verdict.accepted is accepted
    assert verdict.reason == (None if accepted else "rejected by the gate 'fill'")
    assert verdict.scores == {"fill": verdict.score}


# Change


def test_the_change_gate():
    outside = painted()
    outside[:, 35:] = 200
    verdicts = ChangeGate().judge(
        [
            candidate(),
            candidate(window()),
            candidate(painted(level=94)),
            candidate(painted(level=95)),
            candidate(outside),
        ]
    )
    assert [verdict.score for verdict in verdicts] == [110, 0, 4, 5, 110]
    assert [verdict.accepted for verdict in verdicts] == [True, False, False, True, False]


def test_a_box_that_is_the_whole_window_has_no_outside():
    one = Candidate(window(), window(200), (0, 0, SIDE, SIDE))
    assert ChangeGate(max_outside=0).judge([one])[0].accepted


# CLIP


@pytest.mark.parametrize(
    ("answer", "margin", "accepted"),
    [
        ((0.7, 0.1, 0.1, 0.1), 0.0, True),
        ((0.4, 0.3, 0.2, 0.1), 0.0, True),
        ((0.4, 0.3, 0.2, 0.1), 0.2, False),
        ((0.3, 0.4, 0.2, 0.1), 0.0, False),
        ((0.2, 0.1, 0.1, 0.6), 0.0, False),
        ((0.25, 0.25, 0.25, 0.25), 0.0, False),
    ],
)
def test_the_clip_gate(answer, margin, accepted):
    [verdict] = ClipGate(min_margin=margin).judge([candidate(answer=answer)])
    assert verdict.accepted is accepted
    assert verdict.score == pytest.approx(answer[0] - max(answer[1:]))


@given(st.lists(st.sampled_from(["car", "bus", "tram", "background"]), max_size=6))
def test_clip_is_asked_for_the_noun_first_and_for_nothing_twice(others):
    gate = ClipGate(template="{noun}")
    texts = gate.texts("car", others)
    assert texts[0] == "car"
    assert set(texts) == {"car", "background", *others}
    assert len(texts) == len(set(texts))
    chances = tuple([0.9] + [0.1 / len(texts)] * (len(texts) - 1))
    assert gate.judge([candidate(answer=chances, other_nouns=tuple(others))])[0].accepted


def test_of_thousands_of_classes_the_first_compete():
    texts = ClipGate(template="{noun}").texts("car", [f"thing {number}" for number in range(1203)])
    assert len(texts) == 256
    assert texts[:2] == ("car", "thing 0")
    assert texts[-1] == "background"


def test_a_clip_gate_without_competition_accepts():
    gate = ClipGate(background=())
    assert gate.judge([candidate(answer=(1.0,), other_nouns=())])[0].accepted


def test_a_clip_gate_that_nobody_answered():
    with pytest.raises(GateError, match="'clip' has no answer of CLIP"):
        ClipGate().judge([candidate()])
    with pytest.raises(GateError, match="'clip' got 2 probabilities for 4 texts"):
        ClipGate().judge([candidate(answer=(0.5, 0.5))])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": ""}, "model=''"),
        ({"model": None}, "model=None"),
        ({"min_margin": 2}, r"min_margin=2: use a number in \[0, 1\]"),
        ({"min_margin": math.nan}, "min_margin=nan"),
        ({"min_margin": "0.1"}, "min_margin='0.1'"),
        ({"min_margin": True}, "min_margin=True"),
        ({"template": "a photo"}, "template='a photo': write {noun} once"),
        ({"template": "{noun} {label}"}, "template="),
        ({"template": "{noun"}, "template="),
        ({"template": "{noun.x}"}, "template="),
        ({"template": "{}"}, "template="),
        ({"background": "background"}, "background='background': give a list"),
        ({"background": [None]}, "background="),
        ({"background": None}, "background=None"),
    ],
)
def test_wrong_clip_gates(fields, named):
    with pytest.raises(ValueError, match=named):
        ClipGate(**fields)


# Detectors


def found(boxes=((10.0, 10.0, 30.0, 30.0),), labels=("car",), scores=(0.9,)):
    return {"boxes": [list(box) for box in boxes], "labels": list(labels), "scores": list(scores)}


@given(boxes, boxes)
def test_iou_against_counted_pixels(one, other):
    grid = np.zeros((2, 64, 64), bool)
    for layer, (x0, y0, x1, y1) in zip(grid, (one, other), strict=True):
        layer[y0:y1, x0:x1] = True
    assert iou(one, other) == pytest.approx((grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum())
    assert iou(one, other) == iou(other, one)


def test_iou_of_inverted_and_empty_boxes():
    assert iou(BOX, (30, 30, 10, 10)) == 0
    assert iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0


@pytest.mark.parametrize(
    ("result", "score"),
    [
        (found(), 1.0),
        (found([(10, 10, 30, 20)]), 0.5),
        (found([(10, 10, 30, 20), (10, 10, 30, 26), (0, 0, 5, 5)], ["car"] * 3, [0.9] * 3), 0.8),
        (found([(10, 10, 30, 30), (10, 10, 30, 20)], ["bus", "car"], [0.9] * 2), 0.5),
        (found(labels=["bus"]), 0.0),
        (found(scores=[0.2]), 0.0),
        (found([], [], []), 0.0),
        (([[10, 10, 30, 30]], ["car"], [0.9]), 1.0),
        ({name: np.array(value) for name, value in found().items()}, 1.0),
        ({"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}, 0.0),
    ],
)
def test_the_detector_gate(result, score):
    images = []
    gate = DetectorGate(lambda image: images.append(image) or result)
    [verdict] = gate.judge([candidate()])
    assert verdict.score == pytest.approx(score)
    assert verdict.accepted is (score >= 0.7)
    assert np.array_equal(images[0], painted())


@pytest.mark.parametrize(
    ("label", "names", "score"),
    [
        (3, {3: "car"}, 1),
        (3, {"3": "Car"}, 1),
        (1, ["bus", "car"], 1),
        (0, ["bus", "car"], 0),
        (7, ["bus", "car"], 0),
        (-1, ["bus", "car"], 0),
        (7, {3: "car"}, 0),
        (3, None, 0),
        ("car", None, 1),
    ],
)
def test_what_a_detectors_labels_mean(label, names, score):
    gate = DetectorGate(lambda image: found(labels=[label]), class_names=names)
    assert gate.judge([candidate()])[0].score == score


def test_numbers_as_labels():
    gate = DetectorGate(lambda image: found(labels=[5]))
    assert gate.judge([candidate(label=5, noun="car")])[0].score == 1
    assert gate.judge([candidate(label=4, noun="car")])[0].score == 0
    named = DetectorGate(lambda image: found(labels=[2]), class_names={2: "car"})
    assert named.judge([candidate(label=4, noun="car")])[0].score == 1


class Torchvision(torch.nn.Module):
    """Speaks as ``torchvision.models.detection`` do: finds the bright rectangle, and nothing while it trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = []

    def forward(self, images):
        assert not torch.is_grad_enabled()
        assert all(image.dtype == torch.float32 and image.shape[0] == 3 and image.max() <= 1 for image in images)
        self.calls.append(len(images))
        if self.training:
            return {"loss": self.weight}
        return [self.find(image) for image in images]

    def find(self, image):
        ys, xs = torch.nonzero(image[0] > 0.5, as_tuple=True)
        corners = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        return {
            "boxes": (torch.tensor(corners).reshape(-1, 4) * self.weight),
            "labels": torch.full((len(corners),), 3),
            "scores": torch.full((len(corners),), 0.8),
        }


def test_a_torchvision_detector_gets_all_images_in_one_call():
    model = Torchvision().train()
    gate = DetectorGate(torchvision_detector(model), class_names={3: "car"})
    others = [candidate(painted((10, 10, 30, 25))), candidate(window()), candidate(label="bus", noun="bus")]
    small = Candidate(window()[:20, :30], painted((2, 2, 12, 12))[:20, :30], (2, 2, 12, 12), "car", "car")
    verdicts = gate.judge([candidate(), *others, small])
    assert [verdict.score for verdict in verdicts] == [1, 0.75, 0, 0, 1]
    assert model.calls == [5]
    assert not model.training


def test_a_torchvision_gate_pickles():
    gate = pickle.loads(pickle.dumps(DetectorGate(torchvision_detector(Torchvision()), class_names={3: "car"})))
    assert gate.judge([candidate()])[0].score == 1


class Yolo:
    """Speaks as ``ultralytics.YOLO`` does: reads arrays blue first and answers with ``Results``."""

    names = {0: "person", 2: "car"}  # noqa: RUF012 - as Ultralytics has it

    def __init__(self):
        self.sources = []

    def predict(self, source, **settings):
        assert settings == {"verbose": False}
        assert all(image.flags.c_contiguous for image in source)
        self.sources.append(source)
        return [self.result(image) for image in source]

    __call__ = predict

    def result(self, image):
        ys, xs = np.nonzero(image[:, :, 0] == 200)  # blue
        rows = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        return SimpleNamespace(
            names=self.names,
            boxes=SimpleNamespace(
                xyxy=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
                cls=torch.full((len(rows),), 2.0),
                conf=torch.full((len(rows),), 0.9),
            ),
        )


def test_an_ultralytics_model_reads_blue_first_and_brings_its_names():
    model = Yolo()
    blue, red = window(), window()
    blue[10:30, 10:30, 2] = red[10:30, 10:30, 0] = 200
    verdicts = DetectorGate(model).judge([candidate(blue), candidate(red), candidate(blue, label="bus", noun="bus")])
    assert [verdict.score for verdict in verdicts] == [1, 0, 0]
    assert len(model.sources) == 1
    assert DetectorGate(model, class_names={2: "bus"}).judge([candidate(blue, noun="bus")])[0].score == 1


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (found(scores=[math.nan]), "a box or a score that is not finite"),
        (found([(0, 0, math.inf, 4)]), "not finite"),
        (found(labels=[]), "1 boxes, 0 labels and 1 scores"),
        ({"boxes": []}, "KeyError: 'labels'"),
        (None, "TypeError"),
        (([], []), "ValueError"),
        (found([(1, 2, 3)]), "ValueError"),
    ],
)
def test_a_detector_that_returns_rubbish(result, named):
    with pytest.raises(GateError, match=rf"the gate 'detector' raised .*{named}"):
        DetectorGate(lambda image: result).judge([candidate()])


def test_a_batched_detector_that_loses_an_image():
    def detector(images):
        return [found()]

    detector.batched = True
    assert len(detect(detector, [window()])) == 1
    with pytest.raises(GateError, match="1 results for 2 images"):
        DetectorGate(detector).judge([candidate(), candidate()])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: DetectorGate(None), "detector=None"),
        (lambda: DetectorGate(print, min_iou=1.5), "min_iou=1.5"),
        (lambda: DetectorGate(print, min_score=-1), "min_score=-1"),
        (lambda: ChangeGate(min_inside=-1), "min_inside=-1"),
        (lambda: ChangeGate(max_outside=256), "max_outside=256"),
        (lambda: FillGate(1.1), "min_fill=1.1"),
        (lambda: ScoreGate("clip"), "function='clip'"),
        (lambda: ScoreGate(print, "0.5"), "min_score='0.5': use a number"),
        (lambda: AllOf(()), r"gate=\(\): give at least one gate"),
        (lambda: ClipGate() & ClipGate("other/clip"), "several of the gates ask CLIP"),
    ],
)
def test_wrong_arguments(make, named):
    with pytest.raises(ValueError, match=named):
        make()


# Functions


@pytest.mark.parametrize(
    ("value", "score", "accepted"),
    [(True, 1, True), (False, 0, False), (0.5, 0.5, True), (0.49, 0.49, False), (np.float32(0.75), 0.75, True)],
)
def test_a_function_is_a_gate(value, score, accepted):
    asked = []

    def judge(original, painted, label, box):
        asked.append((original, painted, label, box))
        return value

    one = candidate()
    gate = gate_of(judge)
    [verdict] = gate.judge([one])
    assert (verdict.score, verdict.accepted) == (pytest.approx(score), accepted)
    assert verdict.scores == {"judge": verdict.score}
    assert asked == [(one.original, one.painted, "car", BOX)]


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        (math.nan, "'bad' gave .nan.*finite"),
        (math.inf, "'bad' gave .inf"),
        (10**400, "'bad' returned 1000"),
        (None, "'bad' returned None; return a number or a bool"),
        ("good", "'bad' returned 'good'"),
        ([0.5, 0.5], r"'bad' returned \[0.5, 0.5\]"),
        (np.array([0.5, 0.5]), "'bad' returned array"),
    ],
)
def test_a_function_that_returns_rubbish(returned, named):
    def bad(original, painted, label, box):
        return returned

    with pytest.raises(GateError, match=named):
        gate_of(bad).judge([candidate()])


def test_a_function_that_raises():
    def bad(original, painted, label, box):
        raise KeyError(label)

    with pytest.raises(GateError, match="the gate 'bad' raised KeyError: 'car'") as caught:
        gate_of(bad).judge([candidate()])
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value, InpaintError)


# Any gate


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ([], "'says' gave 0 verdicts for 1 candidates"),
        ([(1.0, True)] * 2, "'says' gave 2 verdicts for 1 candidates"),
        ([(math.nan, True)], r"'says' gave \(nan, True\)"),
        ([0.5], "'says' gave 0.5; it must give a score and a bool"),
        ([("x", True)], "'says' gave"),
        ([(1.0, "yes")], "'says' gave"),
        ([(1.0, True, 3)], "'says' gave"),
        (None, "'says' raised TypeError"),
        (ZeroDivisionError("no"), "'says' raised ZeroDivisionError: no"),
        (GateError("as it is"), "^as it is$"),
    ],
)
def test_bad_gates_are_named(answer, named):
    with pytest.raises(GateError, match=named):
        Says(answer).judge([candidate()])


def test_no_candidates_no_work():
    gate = Says(RuntimeError("asked"))
    assert gate.judge([]) == []
    assert (gate & gate).judge([]) == []


def test_later_gates_only_see_what_earlier_ones_accepted():
    first = Says(lambda many: [(one.label, one.label % 2 == 0) for one in many], "even")
    second = Says(lambda many: [(one.label * 10, one.label > 2) for one in many], "large")
    verdicts = (first & second).judge([candidate(label=label) for label in range(6)])
    assert [verdict.accepted for verdict in verdicts] == [False, False, False, False, True, False]
    assert [verdict.score for verdict in verdicts] == [0, 1, 20, 3, 40, 5]
    assert [verdict.reason for verdict in verdicts] == [
        "rejected by the gate 'large'",
        "rejected by the gate 'even'",
        "rejected by the gate 'large'",
        "rejected by the gate 'even'",
        None,
        "rejected by the gate 'even'",
    ]
    assert verdicts[4].scores == {"even": 4, "large": 40}
    assert verdicts[1].scores == {"even": 1}
    assert (first.seen, second.seen) == ([6], [3])


def test_a_gate_that_nobody_reaches_is_not_asked():
    last = Says(RuntimeError("asked"))
    verdicts = (Says(lambda many: [(0, False)] * len(many), "no") & last).judge([candidate()])
    assert [verdict.accepted for verdict in verdicts] == [False]


def test_gates_of_one_name_keep_their_scores_apart():
    gate = FillGate(0.1) & FillGate(0.2) & FillGate(0.3)
    assert gate.judge([candidate()])[0].scores == {"fill": 1, "fill 2": 1, "fill 3": 1}


def test_joined_gates_are_one_flat_gate():
    gate = ChangeGate() & (FillGate() & ClipGate("some/clip")) & (lambda original, painted, label, box: True)
    assert [one.name for one in gate.gates] == ["change", "fill", "clip", "<lambda>"]
    assert gate.name == "change & fill & clip & <lambda>"
    assert gate.clip == "some/clip"
    assert gate.texts("car", ["bus"]) == ClipGate().texts("car", ["bus"])
    assert gate.judge([candidate(answer=(0.7, 0.1, 0.1, 0.1))])[0].accepted
    without = ChangeGate() & None
    assert (without.clip, without.texts("car", ())) == (None, None)


# Saved gates


@pytest.mark.parametrize(
    "gate",
    [
        ChangeGate(3, 1.5),
        FillGate(0.25),
        ClipGate("some/clip", 0.1, "one {noun}", ("nothing", "grass")),
        ChangeGate() & FillGate() & ClipGate(),
    ],
)
def test_saved_gates(gate):
    values = gate.to_dict()
    assert gate_of(json.loads(json.dumps(values))) == gate
    assert gate_of([values]) == AllOf((gate,))
    assert pickle.loads(pickle.dumps(gate)) == gate


@pytest.mark.parametrize(
    "gate",
    [
        ScoreGate(lambda original, painted, label, box: 1),
        DetectorGate(lambda image: found()),
        ChangeGate() & (lambda original, painted, label, box: 1),
        Says(None),
    ],
)
def test_functions_are_not_saved(gate):
    with pytest.raises(TypeError, match="is a function or holds one, which does not serialise; use change, fill, clip"):
        gate.to_dict()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("clip", "gate='clip': give a gate such as"),
        (3, "gate=3"),
        (ClipGate, "gate=<class"),
        ({}, "there is no gate None; use one of change, fill, clip or all"),
        ({"gate": "magic"}, "there is no gate 'magic'"),
        ({"gate": ["clip"]}, "there is no gate"),
        ({"gate": "clip", "margin": 1}, "unknown field 'margin'; this gate has the fields model, min_margin"),
        ({"gate": "all"}, "no 'gates'"),
        ({"gate": "all", "gates": [None]}, "give at least one gate"),
        ({"gate": "all", "gates": "clip"}, "gate="),
        ([FillGate(), "clip"], "gate='clip'"),
        ({"gate": "fill", "min_fill": "much"}, "min_fill='much'"),
    ],
)
def test_what_is_no_gate(value, named):
    with pytest.raises(ValueError, match=named):
        gate_of(value)


def test_nothing_is_no_gate():
    assert gate_of(None) is None
    assert gate_of([]) is None
    gate = FillGate()
    assert gate_of(gate) is gate
