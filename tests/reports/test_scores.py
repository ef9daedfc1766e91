"""Scores of a gate: how many edits another threshold would keep, and what is drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import SPEC, outcome

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.reports.log import Record, record_of
from inpaint_transform.reports.scores import STEPS, Scores


def record(scores: dict[str, float], accepted: bool, **thresholds: float) -> Record:
    of = {gate: {f"min_{gate}": value} for gate, value in thresholds.items()}
    return record_of(outcome("cone", 0, accepted, scores=scores), "", Recipe(), SPEC, thresholds=of)


def scores_of(*records: Record, gate: str = "fill") -> Scores:
    scores = Scores()
    for one in records:
        if gate in one.scores:
            scores.add(one, gate)
    return scores


finite = st.floats(-100, 100)


@settings(max_examples=200, deadline=None)
@given(st.lists(finite, min_size=1, max_size=30), finite, st.lists(finite, max_size=10))
def test_what_another_threshold_would_keep_is_what_it_keeps(
    values: list[float], threshold: float, elsewhere: list[float]
) -> None:
    """A gate alone: what the page promises for a threshold is what the same gate with that threshold accepts."""
    lines = [record({"fill": value}, value >= threshold, fill=threshold) for value in values]
    # Accepted without having been asked, as before the gate was there.
    lines += [record({"change": value}, accepted=True) for value in elsewhere]
    accepted = sum(line.accepted for line in lines)
    trial = scores_of(*lines).chart(len(lines), accepted)["trial"]
    steps = trial["steps"]
    assert trial["field"] == "min_fill"
    assert steps == sorted(steps)
    assert len(steps) <= STEPS + 4
    assert steps[trial["start"]] == threshold
    assert trial["kept"][trial["start"]] == accepted
    for step, kept, gone in zip(steps, trial["kept"], trial["gone"], strict=True):
        assert kept == sum(value >= step for value in values) + len(elsewhere)
        assert gone == sum(threshold <= value < step for value in values)


def test_what_another_gate_rejected_no_threshold_of_this_one_brings_back() -> None:
    lines = [
        record({"fill": 0.8, "clip": 0.1}, accepted=False, fill=0.5, clip=0.2),
        record({"fill": 0.3}, accepted=False, fill=0.5, clip=0.2),
        record({"fill": 0.9, "clip": 0.7}, accepted=True, fill=0.5, clip=0.2),
        # In spite of its score: the gate minds something else too.
        record({"fill": 0.6}, accepted=False, fill=0.5),
    ]
    assert scores_of(*lines).turned_away == [0.3]
    assert scores_of(*lines, gate="clip").turned_away == [0.1]
    trial = scores_of(*lines).chart(4, 1)["trial"]
    assert trial["kept"][0] == 2


def test_thresholds_are_lines_where_they_belong() -> None:
    chart = scores_of(record({"fill": 0.0}, False, fill=0.25), record({"fill": 1.0}, True, fill=0.25)).chart(2, 1)
    assert chart["lines"] == [{"x": "80.0", "value": "0.25"}]
    # Outside of all scores it still is in the drawing.
    [line] = scores_of(record({"fill": 0.5}, True, fill=-1.0)).chart(1, 1)["lines"]
    assert line["x"] == "10.0"


def test_no_margin_below_0_is_offered() -> None:
    line = record({"clip": -0.4}, accepted=False)
    line = dataclasses.replace(line, thresholds={"clip": {"min_margin": 0.1}})
    trial = scores_of(line, gate="clip").chart(1, 0)["trial"]
    assert min(trial["steps"]) >= 0
    assert set(trial["kept"]) == {0}


def test_a_log_without_thresholds_is_tried_from_its_lowest_score() -> None:
    trial = scores_of(record({"fill": 0.25}, True), record({"fill": 0.75}, True)).chart(2, 2)["trial"]
    assert (trial["field"], trial["start"], trial["kept"][0], trial["kept"][-1]) == ("score", 0, 2, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_do_not_count(value: float) -> None:
    scores = scores_of(record({"fill": value}, True), record({"fill": 0.5}, True))
    assert scores.accepted == [0.5]


def test_scores_of_any_size_are_drawn() -> None:
    lines = [record({"fill": value}, True, fill=1e300) for value in (-1e308, 1e308, 0.5, 5e-324)]
    chart = scores_of(*lines).chart(4, 4)
    assert np.isfinite([float(bar["x"]) for bar in chart["bars"]]).all()
