"""Background painting: bounded, the oldest goes first, and no more of the device's time than its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.serving.server import background
from inpaint_transform.serving.server.background import BackgroundQueue


def test_batches_share_a_key_and_the_oldest_goes_first() -> None:
    queue: BackgroundQueue[str] = BackgroundQueue(2)
    for item in ("a1", "b1", "a2", "a3"):
        queue.add(item, item[0], item)
    assert queue.take(0.0) == ["a1", "a2"]
    assert queue.take(1.0) == []
    queue.finish(0.0, 1.0)
    assert queue.take(1.0) == ["b1"]
    queue.finish(1.0, 2.0)
    assert queue.take(2.0) == ["a3"]
    assert len(queue) == 0


def test_a_name_is_queued_once_until_it_is_painted() -> None:
    queue: BackgroundQueue[int] = BackgroundQueue(8)
    queue.add(1, "key", "name")
    queue.add(2, "key", "name")
    assert queue.take(0.0) == [1]
    queue.add(3, "key", "name")
    assert len(queue) == 0
    queue.finish(0.0, 1.0)
    queue.add(4, "key", "name")
    assert queue.take(1.0) == [4]


def test_a_full_queue_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_QUEUED", 3)
    queue: BackgroundQueue[int] = BackgroundQueue(8)
    for number in range(5):
        assert queue.full == (number >= 3)
        queue.add(number, "key", number)
    assert queue.dropped == 2
    assert queue.take(0.0) == [2, 3, 4]


@given(st.floats(0.05, 1.0), st.lists(st.floats(0.01, 3.0), min_size=5, max_size=30))
def test_the_share_of_the_devices_time_is_kept(share: float, durations: list[float]) -> None:
    queue: BackgroundQueue[int] = BackgroundQueue(1, share)
    now, busy, last = 0.0, 0.0, 0.0
    for number, duration in enumerate(durations):
        queue.add(number, "key", number)
        now = max(now, queue.wake_at() or 0.0)
        assert queue.take(now) == [number]
        last = busy
        busy += duration
        queue.finish(now, now + duration)
        now += duration
    # Up to where the last batch might begin, it has had its share and no more.
    queue.add(-1, "key", -1)
    assert busy <= share * queue.wake_at() * (1 + 1e-9)
    assert busy >= share * (queue.wake_at() - 1e-6)
    assert last < busy


def test_several_painters_take_several_batches() -> None:
    queue: BackgroundQueue[int] = BackgroundQueue(1)
    for number in range(3):
        queue.add(number, "key", number)
    assert queue.take(0.0, slots=2) == [0]
    assert queue.take(0.1, slots=2) == [1]
    assert queue.take(0.2, slots=2) == []
    queue.finish(0.1, 0.5)
    assert queue.wake_at(2) is not None
    assert queue.take(0.6, slots=2) == [2]


def test_a_queue_is_full_by_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_QUEUED_BYTES", 250)
    queue: BackgroundQueue[int] = BackgroundQueue(8)
    for number in range(6):
        queue.add(number, "key", number, 100)
    assert queue.dropped == 3
    assert queue.take(0.0) == [3, 4, 5]
    assert not queue.full


def test_it_tells_for_how_long_it_has_enough_to_do() -> None:
    queue: BackgroundQueue[int] = BackgroundQueue(2, 0.5)
    assert queue.ahead() == 0.0
    for number in range(6):
        queue.add(number, "key", number)
    assert queue.ahead() > 0.0  # before it knows how long a painting takes
    queue.take(0.0)
    queue.finish(0.0, 2.0)  # two paintings in two seconds, which may take half of the time
    assert queue.ahead() == pytest.approx(4 * 2.0)
    assert queue.ahead(4) == pytest.approx(2.0)
    queue.take(4.0)
    queue.finish(4.0, 4.2)
    assert 0.0 < queue.ahead() < 2 * 2.0
