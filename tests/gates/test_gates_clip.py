"""The CLIP gate: what it asks, and what it makes of the answer."""

from __future__ import annotations

import math

import pytest
from candidates import candidate
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.errors import GateError
from inpaint_transform.gates import (
    ClipGate,
)


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
