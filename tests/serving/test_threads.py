"""The number of threads of an engine on quiet and busy processors, and what is said about a busy one."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warned import warned

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving import threads
from inpaint_transform.serving.threads import (
    MAX_PAUSE_S,
    SLOW_CALLS,
    WARM_UP_CALLS,
    Slowdown,
    ThreadChoice,
    bound_spinning,
    paced,
)

# Seconds a call: the table that the constants come from, on two cores, and larger machines.
QUIET = {1: 0.10, 2: 0.077, 4: 0.05, 8: 0.03, 16: 0.02, 32: 0.019}
BUSY = {1: 0.10, 2: 1.0, 4: 2.0, 8: 4.0, 16: 8.0, 32: 16.0}


def run(choice: ThreadChoice, costs: dict[int, float], seconds: float, start: float = 0.0) -> tuple[float, list[int]]:
    """Call after call for some time; the time afterwards and the threads of each call."""
    now, used = start, []
    while now < start + seconds:
        used.append(choice.threads(now))
        now += costs[used[-1]]
        choice.took(costs[used[-1]], now)
    return now, used


@pytest.mark.parametrize("limit", [2, 4, 8, 16])
def test_all_threads_on_a_quiet_processor_and_one_on_a_busy_one(limit: int) -> None:
    choice = ThreadChoice(limit)
    now, _ = run(choice, QUIET, 30)
    assert choice.current == limit
    now, _ = run(choice, BUSY, 60, now)
    assert choice.current == 1
    # The next trial comes at the latest after the longest pause, and each success is followed at once by the next.
    run(choice, QUIET, 2 * MAX_PAUSE_S, now)
    assert choice.current == limit


@pytest.mark.parametrize("costs", [QUIET, BUSY], ids=["quiet", "busy"])
def test_trials_cost_little(costs: dict[int, float]) -> None:
    choice = ThreadChoice(2)
    now, _ = run(choice, costs, 60)
    _, used = run(choice, costs, 600, now)
    assert sum(costs[count] for count in used) < 1.05 * len(used) * min(costs[1], costs[2])


def test_a_busy_start_is_found_out_within_a_few_calls() -> None:
    choice = ThreadChoice(2)
    _, used = run(choice, BUSY, 8)
    assert used[: WARM_UP_CALLS + 2] == [2, 2, 2, 1]
    assert choice.current == 1


@given(st.integers(1, 64), st.lists(st.floats(1e-3, 1e3), max_size=60))
def test_the_number_stays_within_its_range(limit: int, costs: list[float]) -> None:
    choice, now = ThreadChoice(limit), 0.0
    for cost in costs:
        assert 1 <= choice.threads(now) <= limit
        now += cost
        choice.took(cost, now)


def test_a_slowdown_is_noticed_once_and_not_for_a_single_slow_call() -> None:
    slowdown = Slowdown()
    first = [1.0, 0.5, *[0.1] * (SLOW_CALLS + 20)]
    assert not any(slowdown.took(cost) for cost in [*first, 9.0, 0.1, 9.0, 9.0, 0.1])
    found = [slowdown.took(cost) for cost in [7.0] * 20]
    assert [times for times in found if times is not None] == [pytest.approx(70)]


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_spinning_is_bounded_unless_the_user_has_decided(given_: dict[str, str], wanted: dict[str, str]) -> None:
    bound_spinning(given_)
    assert given_ == wanted


class Clocked:
    """An engine whose calls take what it is told, by the clocks that are put in place of those of ``time``."""

    size = 8

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.works = 0.1, 1.0
        self.cost = lambda: self.seconds
        self.now = self.used = 0.0
        self.closed = False
        clocks = SimpleNamespace(monotonic=lambda: self.now, process_time=lambda: self.used)
        monkeypatch.setattr(threads, "time", clocks)

    def paint(self, requests: list[InpaintRequest]) -> list[InpaintResult]:
        self.now += self.cost()
        self.used += self.cost() * self.works
        return [InpaintResult(request.image) for request in requests]

    def close(self) -> None:
        self.closed = True


REQUEST = InpaintRequest(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.bool_), "a cone")
SPEC = ModelSpec("tiny", device="cpu")


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of torch: how many threads it has."""
    fake = SimpleNamespace(
        count=2, get_num_threads=lambda: fake.count, set_num_threads=lambda n: setattr(fake, "count", n)
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(threads, "_ours", False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return fake


def test_in_the_users_process_it_is_said_once_and_nothing_is_changed(
    torch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Clocked(monkeypatch)
    watched = paced(engine, SPEC)
    with warned("as long as at first") as early:
        for _ in range(10):
            watched.paint([REQUEST])
    assert not early
    with warned("as long as at first") as said:
        engine.seconds = 7.0
        for _ in range(10):
            assert watched.paint([REQUEST])[0].image is REQUEST.image
    [warning] = said
    assert "takes 70 times as long as at first" in warning
    assert "torch.set_num_threads(1)" in warning
    assert torch.count == 2
    watched.close()
    assert engine.closed


def test_a_call_that_waits_for_something_else_is_no_busy_processor(
    torch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Clocked(monkeypatch)
    watched = paced(engine, SPEC)
    for _ in range(10):
        watched.paint([REQUEST])
    engine.seconds, engine.works = 7.0, 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            watched.paint([REQUEST])


def test_in_a_process_of_our_own_the_threads_follow(torch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_ours", True)
    engine = Clocked(monkeypatch)
    tuned = paced(engine, SPEC)
    monkeypatch.setattr(engine, "cost", lambda: BUSY[torch.count])
    for _ in range(20):
        tuned.paint([REQUEST])
    assert tuned._choice.current == 1


@pytest.mark.parametrize("case", ["reproducible", "number set", "cuda", "one thread"])
def test_where_the_number_is_decided_it_stays(
    torch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(threads, "_ours", True)
    engine, spec = Clocked(monkeypatch), SPEC
    if case == "reproducible":
        spec = ModelSpec("tiny", device="cpu", reproducible=True)
    elif case == "number set":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    elif case == "cuda":
        spec = ModelSpec("tiny", device="cuda:0")
    else:
        torch.count = 1
    assert paced(engine, spec) is engine
