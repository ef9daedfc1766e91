"""The statistics: against scipy, against their definitions, and on simulated studies with and without an effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inpaint_transform.tools.study import significance

# Integers, so that ties are many.
DIFFERENCES = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=9)


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(values, axis=axis)


@settings(max_examples=40, deadline=None)
@given(DIFFERENCES)
def test_sign_flip_is_scipys_exact_test(values: list[float]) -> None:
    expected = stats.permutation_test(
        (values,), mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    ).pvalue
    assert significance.sign_flip(values) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(DIFFERENCES, st.randoms(use_true_random=False), st.sampled_from([-1, 1]), st.sampled_from([1e-3, 0.07, 1e4]))
def test_sign_flip_knows_neither_order_nor_direction_nor_unit(values, random, sign, unit) -> None:
    shuffled = random.sample(values, len(values))
    expected = significance.sign_flip(values)
    assert significance.sign_flip([sign * unit * value for value in shuffled]) == pytest.approx(expected)
    assert 2 / 2 ** len(values) <= expected <= 1


def test_beyond_the_exact_patterns_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 16)
    exact = significance.sign_flip(values)
    monkeypatch.setattr(significance, "MAX_EXACT", 5)
    error = math.sqrt(exact * (1 - exact) / significance.MONTE_CARLO)
    assert significance.sign_flip(values) == pytest.approx(exact, abs=5 * error)
    assert significance.sign_flip(values) == significance.sign_flip(values)
    # Never 0: what was seen is one of the patterns.
    assert significance.sign_flip([1.0] * 40) == 1 / (significance.MONTE_CARLO + 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8), st.floats(1e-3, 0.5))
def test_holm_rejects_what_its_procedure_rejects(values: list[float], alpha: float) -> None:
    rejected = set()
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if values[index] * (len(values) - rank) > alpha:
            break
        rejected.add(index)
    adjusted = significance.holm(values)
    assert {index for index, value in enumerate(adjusted) if value <= alpha} == rejected
    assert all(value <= one <= 1 for value, one in zip(values, adjusted, strict=True))


@pytest.mark.parametrize("comparisons", [1, 2, 3, 4, 7, 12])
def test_the_draws_that_are_needed_can_find_and_one_less_cannot(comparisons: int) -> None:
    needed = significance.draws_needed(comparisons)
    others = [1.0] * (comparisons - 1)
    assert significance.holm([significance.sign_flip([1.0] * needed), *others])[0] <= significance.ALPHA
    assert significance.holm([significance.sign_flip([1.0] * (needed - 1)), *others])[0] > significance.ALPHA
    assert significance.resolved([1.0, *[2.0] * (needed - 2)], comparisons) is None
    assert significance.resolved([1.0, *[2.0] * (needed - 1)], comparisons) is not None
    assert significance.draws_needed() == 6


def test_without_an_effect_hardly_a_study_claims_one() -> None:
    """The share of studies with any false claim, of three arms that share a baseline."""
    rng = np.random.default_rng(1)
    studies, draws = 1500, 8
    claims = 0
    for _ in range(studies):
        baseline = rng.standard_t(3, draws)
        arms = rng.standard_t(3, (3, draws))
        claims += min(significance.holm([significance.sign_flip(arm - baseline) for arm in arms])) <= 0.05
    assert claims / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


@pytest.mark.parametrize(("draws", "comparisons"), [(6, 1), (7, 3), (8, 5), (10, 1), (10, 9), (12, 3), (14, 1)])
def test_an_effect_of_the_resolved_size_is_found_as_often_as_said(draws: int, comparisons: int) -> None:
    rng = np.random.default_rng(2)
    unit = np.arange(draws, dtype=float)
    effect = significance.resolved(list(unit / unit.std(ddof=1)), comparisons)
    assert effect is not None
    found = [
        significance.sign_flip(rng.normal(effect, 1, draws)) * comparisons <= significance.ALPHA for _ in range(1000)
    ]
    assert np.mean(found) == pytest.approx(significance.POWER, abs=0.06)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "BOOTSTRAP", 1500)


def test_the_interval_is_scipys_but_for_the_widening() -> None:
    values = np.random.default_rng(3).normal(1, 2, 12)
    expected = stats.bootstrap((values,), np.mean, method="percentile", random_state=np.random.default_rng(0))
    widening = math.sqrt(12 / 11) * stats.t.ppf(0.975, 11) / stats.norm.ppf(0.975)
    for end, other in zip(significance.interval(values), expected.confidence_interval, strict=True):
        assert (end - values.mean()) / widening == pytest.approx(other - values.mean(), abs=0.06)


@pytest.mark.parametrize("draws", [6, 10])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_cover_what_they_promise(draws: int, skewed: bool, quick: None) -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        values = rng.exponential(1, draws) - 1 if skewed else rng.normal(0, 1, draws)
        low, high = significance.interval(values)
        covered += low <= 0 <= high
    # Of a mean of few skewed values no interval without assumptions covers all that it promises.
    assert (0.85 if skewed else 0.92) <= covered / 400 <= 0.985


def test_test_pictures_are_counted_where_they_are_known(quick: None) -> None:
    """Pictures on which one arm happens to be better move all draws together, and draws alone cannot tell."""
    rng = np.random.default_rng(5)
    draws, pictures, studies = 8, 40, 250
    weights = significance.resampling_weights(pictures)
    with_pictures = without = 0
    for _ in range(studies):
        truth = rng.normal(0, 1, (1, pictures)) + rng.normal(0, 0.2, (draws, 1)) + rng.normal(0, 0.5, (draws, pictures))
        values, resampled = truth.mean(axis=1), truth @ weights.T / pictures
        low, high = significance.interval(values, resampled)
        with_pictures += low <= 0 <= high
        low, high = significance.interval(values)
        without += low <= 0 <= high
    assert with_pictures / studies >= 0.92
    assert without / studies < 0.9


def test_one_draw_has_no_interval() -> None:
    assert significance.interval([1.0]) is None


def test_pictures_are_resampled_with_replacement_and_always_alike() -> None:
    weights = significance.resampling_weights(30)
    assert weights.shape == (significance.RESAMPLINGS, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.max() > 1
    assert (weights == significance.resampling_weights(30)).all()
