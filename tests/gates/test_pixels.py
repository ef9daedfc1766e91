"""The gates that look at pixels alone: what changed, and how well it fills its box."""

from __future__ import annotations

import pytest
from candidates import SIDE, candidate, painted, window

from inpaint_transform.gates import (
    Candidate,
    ChangeGate,
    FillGate,
)


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


@pytest.mark.parametrize(("right", "accepted"), [(30, True), (18, True), (17, False), (10, False)])
def test_the_fill_gate(right, accepted):
    [verdict] = FillGate(0.4).judge([candidate(painted((10, 10, right, 30)))])
    assert verdict.score == pytest.approx((right - 10) / 20)
    assert verdict.accepted is accepted
    assert verdict.reason == (None if accepted else "rejected by the gate 'fill'")
    assert verdict.scores == {"fill": verdict.score}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ChangeGate(min_inside=-1), "min_inside=-1"),
        (lambda: ChangeGate(max_outside=256), "max_outside=256"),
        (lambda: FillGate(1.1), "min_fill=1.1"),
    ],
)
def test_wrong_arguments(make, named):
    with pytest.raises(ValueError, match=named):
        make()
