"""What the numbers of a benchmark mean for a training."""

import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.tools.bench import advice

rates = st.floats(0.1, 1e5)
shares = st.floats(0, 1)
curves = st.dictionaries(shares, rates, min_size=1, max_size=6)


@given(curves, rates, rates)
def test_faster_training_never_affords_more(curve: dict[float, float], a: float, b: float) -> None:
    low, high = (advice.affordable(curve, rate) for rate in sorted((a, b), reverse=True))
    assert 0 <= low <= high <= max(curve)


@given(curves, rates, st.floats(0.01, 100))
def test_only_the_ratio_of_the_rates_matters(curve: dict[float, float], rate: float, factor: float) -> None:
    scaled = {boxes: factor * each for boxes, each in curve.items()}
    # Away from the rates themselves, where rounding decides.
    expected = [advice.affordable(curve, rate * slack) for slack in (1 + 1e-9, 1 - 1e-9)]
    assert expected[0] - 1e-9 <= advice.affordable(scaled, rate * factor) <= expected[1] + 1e-9


@given(
    st.floats(1e-4, 1), st.floats(1e-3, 10), st.lists(st.floats(0.01, 3), min_size=1, max_size=5), st.floats(0.1, 1e4)
)
def test_a_linear_cost_is_found_exactly(base: float, cost: float, measured: list[float], rate: float) -> None:
    curve = {boxes: 1 / (base + boxes * cost) for boxes in [0.0, *measured]}
    expected = min(max((1 / rate - base) / cost, 0), max(measured))
    assert advice.affordable(curve, rate) == pytest.approx(expected, abs=1e-6)


def test_a_slow_measurement_counts_and_a_lucky_one_does_not() -> None:
    assert advice.affordable({0.0: 100.0, 0.5: 10.0, 1.0: 20.0}, 15.0) < 0.5
    assert advice.affordable({0.0: 100.0, 0.5: 10.0, 1.0: 20.0}, 10.0) == 1.0


@given(st.one_of(st.just({}), st.dictionaries(shares, st.floats(-5, 0), min_size=1)))
def test_rates_that_are_none_are_refused(curve: dict[float, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        advice.affordable(curve, 10.0)


@given(
    st.floats(1e-3, 0.1),
    st.floats(0.01, 2),
    st.floats(0.05, 5),
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.3, 2)), min_size=1, max_size=5),
    st.floats(0.1, 1e3),
)
def test_the_luck_of_the_draws_does_not_change_the_advice(
    base: float, cost: float, edits: float, draws: list[tuple[float, float]], rate: float
) -> None:
    """However many boxes happened to be painted: what counts is what each took, and what p paints on average."""

    def measured(p: float, luck: float) -> dict[str, Any]:
        boxes = p * edits * luck
        return {**case(2, p, 1 / (base + boxes * cost)), "edits": 1000 * boxes}

    loaders = [measured(0.0, 1.0), *(measured(p, luck) for p, luck in draws)]
    most = max(p for p, _ in draws)
    known = max(p * luck for p, luck in draws)
    expected = min(max((1 / rate - base) / cost / edits, 0.0), known, most)
    found = advice.best_loader(loaders, rate, edits).p
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9) or (found == most and expected >= 0.95 * most)


def case(workers: int, p: float, rate: float, concurrent: bool = False) -> dict[str, Any]:
    found = {"workers": workers, "p": p, "concurrent": concurrent, "images_per_s": rate, "painted_per_s": p * rate}
    return {**found, "attempts_per_s": p * rate, "images": 1000, "edits": 1000 * p, "accepted": 1000 * p}


DATA = {"source": "embedded", "pictures": 1, "total": 1, "boxes": 18, "edits": 1.0, "drawn": 1.0}
MEASURED = {
    "model": {"id": "tiny", "steps": 12, "size": 64, "device": "cpu"},
    "data": DATA,
    "bare": [{"batch": 1, "images_per_s": 30.0}, {"batch": 8, "images_per_s": 80.0}],
    "loader": [case(0, 0, 400.0), case(0, 1, 28.0), case(4, 0, 800.0), case(4, 1, 72.0), case(8, 1, 72.0, True)],
}


def test_the_advice_names_p_the_loader_and_what_gives_more() -> None:
    first, reached, more, ahead = advice.advise(MEASURED, 220.0)
    # (1/220 - 1/800) / (1/72 - 1/800) = 0.26; of the loader that was not measured at 0 nothing is promised.
    assert first == "at 220 images/s of training this machine affords p = 0.26 (4 workers)"
    assert "80 images/s" in reached
    assert "90%" in reached
    for way in ("half of the 12", "half of the 64 pixels", "reuse"):
        assert way in more
    # 80 a second: 12.5 s, 125 s.
    assert ahead.endswith("takes about 12 s for 1000 looks, 2.1 min for 10000 looks")


def test_of_pictures_without_a_box_to_paint_more_may_be_drawn() -> None:
    """Half of the pictures are never painted: the same p paints half as much, and twice the p is affordable."""
    some = {**case(4, 1, 132.1), "edits": 500, "accepted": 500, "attempts_per_s": 66.0}
    half = {**MEASURED, "loader": [case(4, 0, 800.0), some], "data": {**DATA, "edits": 0.5, "drawn": 0.5}}
    assert advice.advise(half, 220.0)[0] == (
        "at 220 images/s of training this machine affords p = 0.52 (4 workers), with which 0.26 of the samples are "
        "really painted"
    )


def test_what_a_gate_rejects_is_not_called_painted() -> None:
    kept = {**MEASURED, "loader": [case(4, 0, 800.0), {**case(4, 1, 72.0), "accepted": 250}]}
    assert "p = 0.26 (4 workers), with which 0.065 of the samples are really" in advice.advise(kept, 220.0)[0]


def test_where_nothing_was_painted_nothing_is_advised() -> None:
    none = {**MEASURED, "loader": [case(4, 0, 800.0), {**case(4, 0.1, 790.0), "edits": 0, "accepted": 0}]}
    assert "no box was painted" in advice.advise(none, 220.0)[0]


def test_hardly_any_p_is_not_called_0() -> None:
    assert "affords no p of 0.01 or more (4 workers)" in advice.advise(MEASURED, 799.0)[0]


def test_the_users_own_boxes_are_told_about() -> None:
    data = {**DATA, "source": "photos", "boxes": 4800}
    assert (
        "3 min for 3 looks, as reuse={} has them, of each of your 4800 boxes,"
        in advice.advise({**MEASURED, "data": data}, 50.0)[-1]
    )


def test_more_than_the_pipeline_alone_is_doubted() -> None:
    fast = {**MEASURED, "loader": [case(0, 0, 400.0), case(0, 1, 110.0)]}
    assert any("doubtful" in sentence for sentence in advice.advise(fast))
    assert not any("doubtful" in sentence for sentence in advice.advise(MEASURED))


def test_nothing_more_is_advised_where_every_sample_can_be_painted() -> None:
    assert advice.advise(MEASURED, 50.0)[:-1] == ["at 50 images/s of training this machine affords p = 1 (4 workers)"]


def test_a_loader_that_is_too_slow_is_called_so() -> None:
    sentence, _ = advice.advise(MEASURED, 2000.0)
    assert "too slow by itself" in sentence
    assert "800" in sentence


def test_a_loader_that_was_not_measured_without_edits_is_not_called_slow() -> None:
    some = {**MEASURED, "loader": [case(0, 0.1, 445.0), case(0, 1, 28.0)]}
    sentence, _ = advice.advise(some, 500.0)
    assert "does not afford p = 0.1, the smallest measured, which delivers 445 images/s" in sentence
    assert "too slow" not in sentence


def test_a_busy_machine_is_named() -> None:
    cores = os.cpu_count() or 1
    assert "busy" in advice.advise({**MEASURED, "load_before": 0.6 * cores})[0]
    assert "busy" not in advice.advise({**MEASURED, "load_before": 0.2 * cores})[0]


def test_without_a_rate_round_ones_are_told_about() -> None:
    lines = [sentence for sentence in advice.advise(MEASURED) if sentence.startswith("at ")]
    told = [(float(sentence.split()[1]), float(re.findall(r"p = (\S+)", sentence)[0])) for sentence in lines]
    assert 2 <= len(told) <= advice.MAX_LINES
    assert all(28 < rate <= 800 for rate, _ in told)
    assert [p for _, p in told] == sorted((p for _, p in told), reverse=True)


def test_before_any_loader_there_is_no_advice() -> None:
    assert advice.advise({**MEASURED, "loader": []}, 10.0) == []
