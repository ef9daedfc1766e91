"""Work in threads: every result once, and nothing is begun after an error."""

from __future__ import annotations

import time

import pytest

from inpaint_transform.datasets.work import as_they_finish


def test_every_item_is_worked_on_once() -> None:
    assert sorted(as_they_finish(lambda item: item * 2, range(50), 4)) == list(range(0, 100, 2))
    assert list(as_they_finish(abs, (), 1)) == []


def test_an_error_is_raised_and_ends_it() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.05 if item > 1 else 0)
        return 1 // item

    with pytest.raises(ZeroDivisionError):
        list(as_they_finish(work, [1, 0, *range(2, 500)], 1))
    assert len(begun) < 100
