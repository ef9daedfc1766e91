"""A word of warning where a gate accepts hardly any box, said once and not of few boxes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.verdicts import HOPELESS_EDITS, HOPELESS_SHARE, Verdicts

EDIT = Edit(0, (2, 2, 6, 6), (0, 0, 8, 8), "cone", "", "", 1.0, 5)
BEFORE = np.zeros((8, 8, 3), np.uint8)


def outcome(accepted: bool, score: float = 0.25, reuse: str | None = None) -> Outcome:
    return Outcome(EDIT, accepted, None, 5, 1, {"fill": score}, 1.0, BEFORE, lambda: None, reuse)


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 9))
def test_it_is_said_once_and_only_of_a_gate_that_accepts_hardly_any(accepted: list[bool], group: int) -> None:
    verdicts = Verdicts()
    said = [
        verdicts.add([outcome(one) for one in accepted[at : at + group]], "the gate")
        for at in range(0, len(accepted), group)
    ]
    ends = [*range(group, len(accepted), group), len(accepted)] if accepted else []
    due = [end >= HOPELESS_EDITS and sum(accepted[:end]) < HOPELESS_SHARE * end for end in ends]
    first = due.index(True) if True in due else None
    assert [at for at, words in enumerate(said) if words] == ([] if first is None else [first])


def test_it_names_counts_scores_and_the_gate() -> None:
    verdicts = Verdicts()
    said = verdicts.add([outcome(False, score) for score in np.linspace(0.1, 0.3, HOPELESS_EDITS)], "FillGate(0.9)")
    assert said is not None
    assert "only 0 of 30 painted boxes were accepted" in said
    assert "median scores are fill 0.2, the gate is FillGate(0.9)" in said


def test_what_nobody_judged_does_not_count() -> None:
    assert Verdicts().add([outcome(False)] * 99, None) is None
    assert Verdicts().add([outcome(False, reuse="cold")] * 99, "the gate") is None
