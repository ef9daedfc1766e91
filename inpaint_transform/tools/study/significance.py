"""Is a difference more than chance? Tests, intervals and power for few paired draws; pure functions of numbers.

The draws are the sample: two arms see the same pictures, initialisation and order in each, so their difference in one
is an observation. Its distribution is not assumed, only that without an effect its sign is arbitrary.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

# The probability of a false claim that is put up with, over all arms of a study together.
ALPHA = 0.05
# With this chance an effect of the size that the draws "resolve" is found.
POWER = 0.8
# All 2^n patterns of signs are tried up to here; beyond, this many are drawn.
MAX_EXACT = 20
MONTE_CARLO = 100_000
BOOTSTRAP = 10_000
# Up to so many draws the power of the test is simulated, with so many studies.
MAX_SIMULATED, SIMULATIONS = 12, 2000
# Resamplings of the test pictures.
RESAMPLINGS = 200


def draws_needed(comparisons: int = 1) -> int:
    """The fewest draws with which the test can find anything, were all differences of one sign.

    With ``n`` draws the smallest two-sided value of p is ``2 / 2^n``, and Holm multiplies it by the comparisons.

    Args:
        comparisons: How many arms are compared, >= 1.

    Examples:
        >>> draws_needed(1), draws_needed(4)
        (6, 8)
    """
    return 1 + math.ceil(math.log2(comparisons / ALPHA))


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """The sign-flip (paired permutation) test of a mean difference against 0, two-sided.

    Exact up to ``MAX_EXACT`` differences: the share of all patterns of signs with a mean at least as far from 0.
    Beyond, ``MONTE_CARLO`` patterns are drawn, and the one that was seen counts among them: p is never 0.

    Args:
        differences: One number a draw, at least one.
        seed: Of the patterns that are drawn.

    Returns:
        p in (0, 1].

    Examples:
        >>> sign_flip([1.0, 2.0, 3.0, 2.5, 1.5, 2.0])
        0.03125
    """
    values = np.asarray(differences, float)
    # Sums that differ by rounding alone are ties, and metrics are often rounded to three digits.
    seen = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= MAX_EXACT:
        sums = values[:1]  # the other half of the patterns mirrors these
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= seen))
    rng = np.random.default_rng(seed)
    as_far = 0
    for _ in range(10):
        signs = rng.choice([-1.0, 1.0], (MONTE_CARLO // 10, len(values)))
        as_far += int(np.sum(np.abs(signs @ values) >= seen))
    return (as_far + 1) / (MONTE_CARLO + 1)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust values of p for their number by Holm's step-down method: one below ``ALPHA`` is a claim.

    Args:
        values: One p an arm.

    Returns:
        The adjusted values in the same order, each in (0, 1].

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min((len(values) - rank) * values[index], 1.0))
        adjusted[index] = highest
    return adjusted


def interval(
    differences: Sequence[float], resampled: np.ndarray | None = None, level: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """Bootstrap interval of the mean difference, over draws and, where they are known, test pictures.

    Percentiles of resampled means. With few draws a plain percentile interval is too narrow, so the deviations of the
    draws' means are widened by ``sqrt(n / (n - 1)) t / z`` (Hesterberg, What Teachers Should Know About the Bootstrap,
    2015: the same correction, on the quantiles). All draws share their test pictures, so the deviation that resampled
    pictures cause is added.

    Args:
        differences: One number a draw.
        resampled: ``(draws, resamplings)``, the same differences on resampled test pictures.
        level: The coverage, in (0, 1).
        seed: Of the resampling.

    Returns:
        Both ends; None for a single draw.
    """
    values = np.asarray(differences, float)
    count = len(values)
    if count < 2:
        return None
    rng = np.random.default_rng(seed)
    tail = (1 + level) / 2
    widening = math.sqrt(count / (count - 1)) * special.stdtrit(count - 1, tail) / special.ndtri(tail)
    chosen = rng.integers(0, count, (BOOTSTRAP, count))
    means = values.mean() + widening * (values[chosen].mean(axis=1) - values.mean())
    if resampled is not None:
        deviations = resampled.mean(axis=0) - resampled.mean()
        means = means + rng.choice(deviations, BOOTSTRAP)
    low, high = np.quantile(means, [1 - tail, tail])
    return float(low), float(high)


def resolved(differences: Sequence[float], comparisons: int = 1) -> float | None:
    """The effect that so many draws with such a scatter find with a chance of ``POWER``: their power in one number.

    Of several comparisons the strictest step of Holm's method is taken.

    Args:
        differences: One number a draw.
        comparisons: How many arms are compared.

    Returns:
        A difference, > 0; None where there are too few draws to find anything, or no scatter to go by.
    """
    values = np.asarray(differences, float)
    count = len(values)
    if count < draws_needed(comparisons) or not values.std():
        return None
    return _found_effect(count, comparisons) * float(values.std(ddof=1))


@functools.cache
def _found_effect(count: int, comparisons: int) -> float:
    """The effect that ``resolved`` is about, in standard deviations of a difference that is normally distributed.

    With few draws p has few values, and the test finds less than the t test, so it is simulated; with more it is as
    powerful (Fisher).
    """
    if count > MAX_SIMULATED:
        needed = special.stdtrit(count - 1, 1 - ALPHA / (2 * comparisons)) + special.stdtrit(count - 1, POWER)
        return float(needed / math.sqrt(count))
    # Half of the patterns; the others mirror these. Each is the sum of noise and of effect under it.
    patterns = np.array(list(itertools.product([1.0], *[[1.0, -1.0]] * (count - 1))))
    noise = np.random.default_rng(0).normal(size=(count, SIMULATIONS))
    sums, effects = patterns @ noise, patterns.sum(axis=1, keepdims=True)
    low, high = 0.0, 10.0
    while high - low > 0.005:
        middle = (low + high) / 2
        far = np.abs(sums + middle * effects)
        p = (far >= far[0] * (1 - 1e-9)).mean(axis=0)
        low, high = (low, middle) if (p * comparisons <= ALPHA).mean() >= POWER else (middle, high)
    return high


def resampling_weights(pictures: int) -> np.ndarray:
    """How often each test picture counts in each resampling of them; the same for every run of a study.

    Args:
        pictures: How many there are, >= 1.

    Returns:
        ``(RESAMPLINGS, pictures)`` counts, each row with the sum ``pictures``.
    """
    rng = np.random.default_rng(0)
    return rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=RESAMPLINGS)
