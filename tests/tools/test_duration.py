"""How long a benchmark is said to take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.bench import duration
from inpaint_transform.tools.bench.settings import QUICK, Settings

plans = st.builds(
    lambda workers, p, seconds: Settings(ModelSpec("tiny"), tuple(workers), tuple(p), seconds=seconds),
    st.lists(st.integers(0, 8), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True),
    st.floats(0.1, 10),
)


@given(plans, st.floats(0, 30), st.floats(0, 10), st.integers(0, 1000))
def test_no_estimate_is_below_what_is_measured_at_least(plan: Settings, start: float, paint: float, boxes: int) -> None:
    assert duration.expected(plan, start, paint, boxes) >= duration.least(plan) - 1e-9


@given(plans, st.floats(0, 30), st.floats(0.01, 10), st.integers(0, 1000))
def test_a_slower_machine_takes_longer(plan: Settings, start: float, paint: float, boxes: int) -> None:
    assert duration.expected(plan, start, 2 * paint, boxes) > duration.expected(plan, start, paint, boxes)
    assert duration.expected(plan, start + 1, paint, boxes) > duration.expected(plan, start, paint, boxes)


def test_it_follows_the_plan() -> None:
    quick = Settings(ModelSpec("tiny"), **QUICK)
    # Five batches alone, the transform alone, twelve loaders and two of them again from a pool.
    assert duration.least(quick) == pytest.approx(1.5 * (5 + 1 + 12 + 2))
    assert duration.expected(quick, 0.0, 0.0, 18) == pytest.approx(duration.least(quick))
    assert duration.expected(Settings(ModelSpec("tiny")), 5.0, 0.1, 18) > 3 * duration.expected(quick, 5.0, 0.1, 18)


def test_a_process_for_each_stage_is_started() -> None:
    starts = [
        duration.expected(Settings(ModelSpec("tiny"), workers=workers), 1.0, 0.0, 0)
        - duration.least(Settings(ModelSpec("tiny"), workers=workers))
        for workers in ((0,), (0, 2))
    ]
    assert starts == pytest.approx([2, 5])
