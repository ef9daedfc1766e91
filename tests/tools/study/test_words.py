"""Sentences: claims only where there is one, and never with too few draws."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import study
from test_study_result import BASE, plus

from inpaint_transform.tools.study import words
from inpaint_transform.tools.study.rows import plan_of


def test_a_claim_says_how_much_and_how_sure() -> None:
    [first, *rest] = study({"nothing": BASE, "painted": plus(0.0302)}).words()
    assert re.fullmatch(r"painted beats nothing by 3\.1 points \(95 % interval 2\.9 to 3\.2\), p = 0\.0078\.", first)
    assert rest == ["Intervals and values of p count the chance of draws only: they are for these test pictures."]


def test_a_loss_is_a_claim_too() -> None:
    [first, *_] = study({"nothing": BASE, "painted": plus(-0.0302)}).words()
    assert first.startswith("painted is worse than nothing by 3.0 points (95 % interval 2.8 to 3.1), p = 0.0078")


def test_no_claim_says_what_the_draws_resolve() -> None:
    noise = (0.01, -0.012, 0.02, -0.017, 0.004, -0.008, 0.013, -0.006)
    [first, *_] = study({"nothing": BASE, "a": plus(0, *noise), "b": plus(0, *noise)}).words()
    assert re.match(
        r"a is not told apart from nothing: \+0\.1 points \(95 % interval -1\.\d to \+1\.\d\), p = 1 after Holm over 2 "
        r"arms; an effect of 1\.\d points would be found with a chance of 80%\.",
        first,
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.floats(-0.3, 0.3), st.booleans())
def test_fewer_than_six_draws_never_claim(draws: int, arms: int, gain: float, lower: bool) -> None:
    values = {"nothing": BASE[:draws]} | {f"arm{at}": [value + gain for value in BASE[:draws]] for at in range(arms)}
    found = study(values, better="lower" if lower else "higher")
    said = found.words()
    assert said[0].startswith("Nothing can be concluded: with ")
    assert not any(word in " ".join(said) for word in ("beats", "worse", "told apart"))
    assert {one.verdict for one in found.comparisons()} == {"too few draws"}


def test_too_few_draws_say_how_many_it_takes() -> None:
    said = study({"nothing": BASE[:5], "a": BASE[:5]}).words()[0]
    assert said == (
        "Nothing can be concluded: with five draws even differences of one sign may be chance; it takes six."
    )
    said = study({"nothing": BASE[:6], "a": BASE[:6], "b": [*BASE[:6]]}).words()[0]
    assert said.endswith("it takes seven where two arms are compared.")


def test_an_arm_that_lacks_draws_is_named_and_the_others_are_told() -> None:
    late = [*plus(0.03)[:2], *[None] * 6]
    said = study({"nothing": BASE, "a": plus(0.03), "late": late}).words()
    assert said[0].startswith("Nothing can be concluded about late: with two draws")
    # That one is finished, and Holm's method has counted the other.
    assert said[1].startswith("a beats nothing")
    assert "18 of 24 runs are finished; what is said may change." in said


def test_baselines_references_and_failures_are_told() -> None:
    values = {"nothing": BASE, "flip": plus(-0.1), "painted": plus(0.03), "oracle": plus(0.1)}
    found = study(values, ("nothing", "flip"), values, references=("oracle",))
    said = found.words()
    assert "nothing is the best of the baselines nothing, flip on validation pictures." in said
    assert any(one.startswith("To compare with, oracle, which has 40 pictures, is 10.1 points better") for one in said)
    assert study({"nothing": [None], "a": [0.1]}).words()[0] == (
        "Nothing can be concluded: no baseline has finished a draw."
    )


def test_an_arm_without_a_run_is_said_to_have_none() -> None:
    said = study({"nothing": BASE, "a": plus(0.03), "b": [None] * 8}).words()
    assert said[0] == "Nothing can be concluded about b: no draw is finished."
    assert said[1].startswith("a beats nothing")


def test_the_very_same_numbers_are_no_proof_of_anything() -> None:
    """As where a command reads neither its set nor the transform: that would be perfect power otherwise."""
    found = study({"nothing": BASE, "a": [*BASE]})
    assert found.words()[0] == (
        "a gave the very numbers of nothing in every draw: does the command use its set, {transform} or {args}?"
    )
    assert found.comparisons()[0].resolved is None


def test_one_training_that_counts_as_many_proves_nothing() -> None:
    """As where a command does not use the seed: that would be perfect power otherwise."""
    found = study({"nothing": [0.4] * 7, "a": [0.5] * 7, "b": [0.38, 0.42, 0.39, 0.41, 0.4, 0.43, 0.37]})
    said = found.words()
    assert "Every draw of nothing, a gave the same number: does the command use {seed}?" in said
    assert not any("a beats" in one for one in said)
    assert [one.verdict for one in found.comparisons()] == ["draws are all alike", "not told apart"]
    # One that always reaches the same is no proof of that.
    assert study({"nothing": BASE, "a": [1.0] * 8}).comparisons()[0].verdict == "better"


def test_trainings_that_count_no_more_are_told() -> None:
    found = study({"nothing": BASE, "a": plus(0.03)})
    assert not any("other settings" in one for one in found.words())
    rows = tuple({"arm": "a", "draw": draw} for draw in range(3))
    assert (
        "Three finished runs of a were made with other settings and were not counted: a claim that was looked for is "
        "worth less."
    ) in replace(found, unused=rows).words()


def test_a_claim_that_other_test_pictures_may_not_bear_out_says_so() -> None:
    resampled = {"nothing": [[0.4, 0.4]] * 8, "painted": [[0.35, 0.51]] * 8}
    [first, *_] = study({"nothing": BASE, "painted": plus(0.0302)}, resampled=resampled).words()
    assert first.startswith("On these test pictures painted beats nothing by 3.1 points (95 % interval -")
    assert first.endswith("p = 0.0078; on others it may not be so.")


def test_arms_whose_intervals_know_the_draws_only_are_named() -> None:
    resampled = {name: [[0.4, 0.41]] * 8 for name in ("nothing", "a", "b")}
    found = study({"nothing": BASE, "a": plus(0.03), "b": plus(0.03)}, resampled=resampled)
    arms = tuple(replace(arm, resampled={}) if arm.name == "b" else arm for arm in found.arms)
    assert any("those of b of draws only" in one for one in replace(found, arms=arms).words())


def test_a_plan_that_was_changed_is_told() -> None:
    found = study({"nothing": BASE, "a": plus(0.03)})
    first = {**plan_of(found.header), "draws": 20, "other arms": "a, b"}
    said = replace(found, header={**found.header, "first": first}).words()
    assert any("changed after it had begun (draws 20, now 8; other arms a, b, now a)" in one for one in said)


def test_all_pictures_are_the_same_ones_in_every_draw() -> None:
    found = study({"nothing": BASE, "a": plus(0.03)})
    header = {**found.header, "n": None}
    assert any(one.startswith("All draws may have the same training") for one in replace(found, header=header).words())
    header["data"] = {"source": "cones"}
    assert any(one.startswith("All draws have the same training") for one in replace(found, header=header).words())


def test_baselines_without_a_common_draw_are_named() -> None:
    def first(nothing: list[float | None], flip: list[float | None]) -> str:
        values = {"nothing": nothing, "flip": flip, "a": [0.1, 0.1]}
        return study(values, ("nothing", "flip"), values).words()[0]

    assert first([0.1, 0.1], [None, None]) == (
        "Nothing can be concluded: the baseline flip has finished no draw, and the best one is chosen where all have."
    )
    assert first([0.1, None], [None, 0.2]) == (
        "Nothing can be concluded: the baselines nothing, flip have no finished draw in common."
    )


def test_a_study_of_baselines_and_references_claims_nothing(tmp_path: Path) -> None:
    values = {"nothing": BASE, "flip": plus(-0.1), "oracle": plus(0.1)}
    found = study(values, ("nothing", "flip"), values, references=("oracle",))
    said = found.words()
    assert said[0] == "Nothing is claimed: no arm beside the baselines has the study's number of pictures."
    assert said[1].startswith("To compare with, oracle, which has 40 pictures, is 10.1 points better than nothing")
    assert "oracle" in found.table()
    found.page(tmp_path / "page.html")
    assert said[0] in html.unescape((tmp_path / "page.html").read_text("utf-8"))


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.0123, False, "1.2"),
        (0.0123, True, "+1.2"),
        (-0.0123, True, "-1.2"),
        (-0.0001, True, "+0.0"),
        (-1e-9, False, "0.0"),
    ],
)
def test_numbers(value: float, signed: bool, text: str) -> None:
    assert words.number(study({"nothing": BASE, "a": BASE}), value, signed) == text


def test_other_units_have_more_digits() -> None:
    values = [3.0, 3.5, 3.25, 3.75, 3.0, 4.0]
    found = study({"nothing": values, "a": [value + 0.25 for value in values]})
    assert found.words()[0].startswith("a beats nothing by 0.250 (95 % interval 0.250 to 0.250), p = 0.031.")
