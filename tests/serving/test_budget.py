"""A client's patience: spent by failures, restored by success and by time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.client.budget import ANSWERS, MAX_FAILURES, SECONDS, Budget


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    return Budget(clock)


def exhaust(budget: Budget) -> None:
    for _ in range(MAX_FAILURES):
        budget.check()
        budget.fail(object(), "it died")
    with pytest.raises(InpaintError):
        budget.check()


def test_it_ends_after_a_few_failures_in_a_row_and_says_how_and_until_when(budget: Budget) -> None:
    exhaust(budget)
    with pytest.raises(InpaintError, match=r"lost 4 times and is tried again in 300 s. The last time: it died"):
        budget.check()


def test_one_server_counts_once_for_all_threads_that_lose_it(budget: Budget) -> None:
    for _ in range(10):
        budget.fail(7, "it died")
    budget.check()


def test_hangs_of_one_server_count_unless_they_overlap(budget: Budget, clock: Clock) -> None:
    for _ in range(MAX_FAILURES - 1):
        begun = clock.now
        clock.now += 1
        for _ in range(8):  # threads that have waited for the same call
            budget.fail(7, "it hangs", begun)
    budget.check()
    budget.fail(7, "it hangs", clock.now + 0.1)
    with pytest.raises(InpaintError, match="it hangs"):
        budget.check()


def test_time_gives_one_attempt_after_the_other(budget: Budget, clock: Clock) -> None:
    exhaust(budget)
    clock.now += SECONDS + 1
    budget.check()
    budget.fail(object(), "again")
    with pytest.raises(InpaintError, match="lost 5 times.*again"):
        budget.check()
    clock.now += MAX_FAILURES * SECONDS
    exhaust(budget)


def test_success_makes_good(budget: Budget) -> None:
    for _ in range(50):  # a server that is lost now and then, all job long
        budget.fail(object(), "it died")
        for _ in range(ANSWERS):
            budget.check()
            budget.succeed()
    budget.check()


@given(st.lists(st.sampled_from(["fail", "succeed", "wait"]), max_size=60))
def test_there_are_never_more_failures_in_a_row_than_it_allows(what: list[str]) -> None:
    clock = Clock()
    budget = Budget(clock)
    in_a_row = 0
    for one in what:
        try:
            budget.check()
        except InpaintError:
            assert in_a_row >= 1
            clock.now += SECONDS
            in_a_row = 0
            continue
        if one == "fail":
            budget.fail(object(), "it died")
            in_a_row += 1
        else:
            in_a_row = 0
            budget.succeed() if one == "succeed" else None
        assert in_a_row <= MAX_FAILURES
