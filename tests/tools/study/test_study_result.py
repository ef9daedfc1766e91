"""What is made of values: pairs of draws, the best baseline by validation alone, claims for arms only."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import study

from inpaint_transform.tools.study.result import read_study, study_of

BASE = [0.40, 0.42, 0.38, 0.41, 0.39, 0.40, 0.43, 0.37]


def plus(gain: float, *noise: float) -> list[float]:
    wobble = noise or (0.0, 0.002, -0.001, 0.003, 0.001, -0.002, 0.0, 0.001)
    return [value + gain + more for value, more in zip(BASE, wobble, strict=True)]


def test_the_best_baseline_is_chosen_by_validation_and_not_by_test() -> None:
    values = {"nothing": BASE, "flip": plus(0.05), "painted": plus(0.03)}
    val = {"nothing": plus(0.2), "flip": BASE, "painted": plus(0.9)}
    found = study(values, ("nothing", "flip"), val)
    assert found.baseline is not None
    assert found.baseline.name == "nothing"
    lower = study(values, ("nothing", "flip"), val, better="lower")
    assert lower.baseline is not None
    assert lower.baseline.name == "flip"


def test_baselines_are_compared_on_draws_that_all_have() -> None:
    values = {"nothing": BASE, "flip": [*BASE[:4], None, None, None, None], "painted": BASE}
    # On its own four draws flip is better, and nothing has better draws later.
    val = {"nothing": [0.1] * 4 + [0.9] * 4, "flip": [0.2] * 8, "painted": BASE}
    found = study(values, ("nothing", "flip"), val)
    assert found.baseline is not None
    assert found.baseline.name == "flip"


def test_differences_are_of_the_draws_that_both_have() -> None:
    found = study({"nothing": [0.4, None, 0.5, 0.1], "painted": [0.5, 0.9, None, 0.3]}).comparisons()[0]
    assert found.draws == (0, 3)
    assert found.differences == pytest.approx((0.1, 0.2))
    assert (found.verdict, found.resolved, found.interval) == ("too few draws", None, None)


def test_lower_is_better_where_it_is_said() -> None:
    values = {"nothing": BASE, "painted": plus(-0.03)}
    assert study(values, better="lower").comparisons()[0].verdict == "better"
    assert study(values, better="lower").comparisons()[0].mean == pytest.approx(0.0295)
    assert study(values).comparisons()[0].verdict == "worse"


def test_baselines_and_references_are_shown_and_not_tested() -> None:
    values = {"nothing": BASE, "flip": plus(-0.1), "painted": plus(0.03), "oracle": plus(0.1)}
    found = study(values, ("nothing", "flip"), values, references=("oracle",))
    assert found.compared == ["painted"]
    by_name = {one.arm: one for one in found.comparisons()}
    assert set(by_name) == {"flip", "painted", "oracle"}
    assert by_name["painted"].p == by_name["painted"].adjusted == 2 / 2**8
    for name in ("flip", "oracle"):
        assert by_name[name].p is None
        assert by_name[name].verdict == "reference"
        assert by_name[name].interval is not None


def test_arms_without_a_run_count_among_the_claims() -> None:
    values: dict[str, list[float | None]] = {"nothing": [*BASE], "a": [*plus(0.03)], "b": [None] * 8, "c": [None] * 8}
    by_name = {one.arm: one for one in study(values).comparisons()}
    assert by_name["a"].adjusted == pytest.approx(3 * 2 / 2**8)
    assert by_name["b"].mean is None
    assert by_name["b"].interval is None


def test_more_arms_need_more_draws() -> None:
    six = [value + 0.03 for value in BASE[:6]]
    one = study({"nothing": BASE[:6], "a": six})
    two = study({"nothing": BASE[:6], "a": six, "b": BASE[:6]})
    assert one.comparisons()[0].verdict == "better"
    assert two.comparisons()[0].verdict == "too few draws"


def test_a_claim_waits_for_all_draws_that_were_planned() -> None:
    """Who looks after each draw, or leaves out trainings that failed, makes more claims than chance allows."""
    for arm, base in (([*plus(0.03)[:7], None], BASE), (plus(0.03), [*BASE[:7], None])):
        found = study({"nothing": base, "painted": arm})
        [one] = found.comparisons()
        assert (one.verdict, one.adjusted) == ("not finished", 2 / 2**7)
        [said, *_] = found.words()
        assert said.startswith("So far, in seven of eight draws, painted is 3.0 points better than nothing (95 %")
        assert said.endswith("; a claim waits for all of them, and for those of the baselines.")


def test_the_best_baseline_is_not_known_before_all_are_finished() -> None:
    values = {"nothing": BASE, "flip": [BASE[0], *[None] * 7], "painted": plus(0.03)}
    found = study(values, ("nothing", "flip"), {name: [0.1] * 8 for name in values})
    assert {one.arm: one.verdict for one in found.comparisons()}["painted"] == "not finished"


def test_more_pictures_are_compared_with_what_else_is_the_same() -> None:
    values = {"nothing": BASE, "pasted": plus(0.05), "painted": plus(0.03), "oracle": plus(0.02)}
    found = study(values, ("nothing", "pasted"), values, references=("oracle",), args={"pasted": "--paste"})
    by_name = {one.arm: one for one in found.comparisons()}
    assert (by_name["painted"].other, by_name["oracle"].other) == ("pasted", "nothing")
    assert by_name["oracle"].mean == pytest.approx(0.0205)
    told = "To compare with, oracle, which has 40 pictures, is 2.1 points better than nothing"
    assert any(one.startswith(told) for one in found.words())
    assert "reference, over nothing" in found.table()


def test_pictures_must_be_the_same() -> None:
    resampled = {"nothing": [[0.4, 0.5]] * 8, "painted": [[0.4, 0.7]] * 8}
    found = study({"nothing": BASE, "painted": plus(0.03)}, resampled=resampled)
    assert found.comparisons()[0].over_pictures
    assert not study({"nothing": BASE, "painted": plus(0.03)}).comparisons()[0].over_pictures


def test_without_a_finished_baseline_nothing_is_compared() -> None:
    found = study({"nothing": [None, None], "painted": [0.1, 0.2]})
    assert (found.baseline, found.comparisons(), found.finished, found.planned) == (None, [], 2, 4)


def test_values_are_shown_in_points_where_they_are_shares() -> None:
    assert (study({"nothing": BASE, "a": BASE}).scale, study({"nothing": BASE, "a": BASE}).unit) == (100, "points")
    percent = study({"nothing": [40.0], "a": [41.0]})
    assert (percent.scale, percent.unit) == (1, "")
    assert study({"nothing": [40.0], "a": [41.0]}, scale=10.0).scale == 10


def test_what_holds_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results of a study"):
        read_study(tmp_path)
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(ValueError, match="holds no study yet"):
        read_study(tmp_path / "results.jsonl")
    with pytest.raises(ValueError, match="holds no study yet"):
        study_of({}, {}, tmp_path)
