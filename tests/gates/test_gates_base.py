"""Gates in general: functions as gates, what is said of bad ones, how they are joined and saved."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from candidates import BOX, candidate

from inpaint_transform.core.errors import GateError, InpaintError
from inpaint_transform.gates import (
    AllOf,
    ChangeGate,
    ClipGate,
    DetectorGate,
    FillGate,
    Gate,
    ScoreGate,
    gate_of,
)


def test_a_gate_tells_from_which_score_on_it_accepts() -> None:
    gate = FillGate(0.3) & FillGate(0.6) & ClipGate(min_margin=0.1) & ScoreGate(len, 2)
    assert gate.thresholds == {
        "fill": {"min_fill": 0.3},
        "fill 2": {"min_fill": 0.6},
        "clip": {"min_margin": 0.1},
        "len": {"min_score": 2.0},
    }
    assert ChangeGate().thresholds == {"change": {"min_inside": 5.0}}
    assert DetectorGate(len, min_iou=0.5).thresholds == {"detector": {"min_iou": 0.5}}
    assert Says([]).thresholds == {}
    # The names are those of the scores.
    fill = FillGate(0.0) & FillGate(0.0)
    assert set(fill.judge([candidate()])[0].scores) == set(fill.thresholds)


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
        DetectorGate(print),
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


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ScoreGate("clip"), "function='clip'"),
        (lambda: ScoreGate(print, "0.5"), "min_score='0.5': use a number"),
        (lambda: AllOf(()), r"gate=\(\): give at least one gate"),
        (lambda: ClipGate() & ClipGate("other/clip"), "several of the gates ask CLIP"),
    ],
)
def test_wrong_arguments(make, named):
    with pytest.raises(ValueError, match=named):
        make()
