"""Batch formation: what goes together, and when."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.protocol import InpaintRequest, share_key
from inpaint_transform.serving.server.batching import LIVE_S, Batcher

WAIT = 0.01


def items(taken):
    return [item for item, _ in taken]


def batcher(size=8):
    return Batcher(size, WAIT)


def test_a_single_client_never_waits():
    queue = batcher()
    queue.add("a", 0, "client", now=5.0)
    assert queue.take(5.0) == [("a", 0.0)]


def test_nothing_runs_while_the_device_is_busy():
    queue = batcher()
    queue.add("a", 0, 1, 0.0)
    assert items(queue.take(0.0)) == ["a"]
    queue.add("b", 0, 2, 0.1)
    assert queue.take(0.1) == []
    assert queue.wake_at(0.1) is None
    queue.finish(0.5)
    assert "b" in items(queue.take(0.5 + WAIT))


def test_goes_at_once_when_every_live_client_waits():
    queue = batcher()
    for client in range(4):
        queue.add(client, 0, client, 0.0)
    first = items(queue.take(0.0))
    queue.finish(0.1)
    for client in first:
        assert queue.take(0.1) == []
        queue.add(client, 0, client, 0.1)
    assert items(queue.take(0.1)) == first


def test_waits_for_a_live_client_no_longer_than_max_wait():
    queue = batcher()
    queue.add("a", 0, 1, 0.0)
    queue.add("b", 0, 2, 0.0)
    queue.take(0.0)
    queue.finish(0.1)
    queue.add("c", 0, 1, 0.1)
    assert queue.take(0.1) == []
    assert queue.wake_at(0.1) == 0.1 + WAIT
    assert queue.take(0.1 + WAIT * 0.9) == []
    assert items(queue.take(0.1 + WAIT)) == ["c"]


def test_half_batches_do_not_alternate():
    """Requests that came while the device was busy still wait for the clients that are just being answered."""
    queue = batcher()
    for client in (1, 2):
        queue.add(client, 0, client, 0.0)
    queue.take(0.0)
    for client in (3, 4):
        queue.add(client, 0, client, 0.01)
    queue.finish(1.0)
    assert queue.take(1.0) == []
    for client in (1, 2):
        queue.add(client, 0, client, 1.001)
    assert sorted(items(queue.take(1.001))) == [1, 2, 3, 4]


def test_a_full_batch_waits_for_nobody():
    queue = batcher(size=2)
    queue.add("other", 0, 0, 0.0)
    queue.take(0.0)
    queue.finish(0.1)
    for item in "abc":
        queue.add(item, 0, 1, 0.1)
    assert items(queue.take(0.1)) == ["a", "b"]
    queue.finish(0.2)
    assert items(queue.take(0.2 + WAIT)) == ["c"]


def test_keys_do_not_mix_and_the_oldest_goes_first():
    queue = batcher()
    for index, key in enumerate("xyxyx"):
        queue.add(index, key, 1, 0.0)
    assert items(queue.take(0.0)) == [0, 2, 4]
    queue.finish(0.1)
    assert items(queue.take(0.1)) == [1, 3]


def test_nobody_waits_for_a_quiet_client():
    queue = batcher()
    queue.add("a", 0, "quiet", 0.0)
    queue.take(0.0)
    queue.finish(0.1)
    queue.add("b", 0, "busy", 0.1 + LIVE_S / 2)
    assert queue.take(0.1 + LIVE_S / 2) == []
    assert items(queue.take(0.1 + LIVE_S)) == ["b"]


def test_a_client_that_was_being_served_is_not_quiet():
    queue = batcher()
    queue.add("a", 0, 1, 0.0)
    queue.take(0.0)
    queue.add("b", 0, 2, 50.0)
    queue.finish(100.0)
    assert queue.take(100.0) == []


def test_nobody_waits_for_a_client_that_has_gone():
    queue = batcher()
    for client in (1, 2):
        queue.add(client, 0, client, 0.0)
    queue.take(0.0)
    queue.finish(0.1)
    queue.forget(2)
    queue.add("c", 0, 1, 0.1)
    assert items(queue.take(0.1)) == ["c"]


def test_what_a_dead_client_queued_is_dropped():
    queue = batcher()
    queue.add("running", 0, 1, 0.0)
    queue.take(0.0)
    queue.add("dead", 0, 2, 0.0)
    queue.add("alive", 0, 1, 0.0)
    queue.drop(lambda item: item == "dead", 0.0)
    queue.forget(2)
    queue.finish(0.1)
    assert items(queue.take(0.1)) == ["alive"]
    assert len(queue) == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xy"), st.floats(0, 0.02)), max_size=40),
    st.integers(1, 5),
)
def test_every_item_runs_once_in_its_clients_order(arrivals, size):
    queue = batcher(size)
    now, done = 0.0, []
    for number, (client, key, pause) in enumerate(arrivals):
        now += pause
        queue.add((client, key, number), key, client, now)
        batch = items(queue.take(now))
        assert len({item[1] for item in batch}) <= 1
        assert len(batch) <= size
        if batch:
            done += batch
            queue.finish(now)
    while (wake := queue.wake_at(now)) is not None:
        now = wake
        batch = items(queue.take(now))
        assert batch, "wake_at gave a time at which nothing was due"
        done += batch
        queue.finish(now)
    assert sorted(item[2] for item in done) == list(range(len(arrivals)))
    for client in range(4):
        for key in "xy":
            mine = [item[2] for item in done if item[:2] == (client, key)]
            assert mine == sorted(mine)


def request(strength, size=64):
    return InpaintRequest(np.zeros((size, size, 3), np.uint8), np.ones((size, size), bool), "a car", strength=strength)


def test_strengths_of_equal_whole_steps_share_a_batch():
    """51 strengths of two decimals are five kinds of calls of 4 steps."""
    draws = random.Random(0)
    asked = [request(round(draws.uniform(0.5, 1.0), 2)) for _ in range(800)]
    queue, sizes, now = batcher(size=8), [], 0.0
    for number, entry in enumerate(asked):
        queue.add(entry, share_key(entry, 4), number % 8, 0.0)
    while taken := items(queue.take(now := now + 1.0)):
        assert len({(int(4 * one.strength), int(4 - 4 * one.strength)) for one in taken}) == 1
        sizes.append(len(taken))
        queue.finish(now)
    assert sum(sizes) == 800
    assert sum(sizes) / len(sizes) > 7.5


def test_what_cannot_share_a_pipeline_call_does_not():
    assert share_key(request(1.0), 20) != share_key(request(0.99), 20)
    assert share_key(request(0.5), 20) != share_key(request(0.5, size=128), 20)
    # 19.2 steps: one class runs int(19.2), another skips int(0.8).
    assert share_key(request(0.96), 20) == (19, 0, 64, 64, 3)
    assert share_key(request(0.95), 20) == (19, 1, 64, 64, 3)


def test_a_batch_that_is_broken_off_goes_first():
    queue = batcher(size=2)
    for name in "abc":
        queue.add(name, 0, name, 0.0)
    assert items(queue.take(1.0)) == ["a", "b"]
    queue.put_back(1.0)
    queue.drop(lambda item: item == "a", 1.0)
    assert items(queue.take(2.0)) == ["b", "c"]


def test_as_many_batches_run_at_once_as_there_are_slots():
    queue = batcher(2)
    for item in "abcdefg":
        queue.add(item, 0, item, 0.0)
    first, second = queue.take(0.0, slots=2), queue.take(0.0, slots=2)
    assert (items(first), items(second)) == (["a", "b"], ["c", "d"])
    assert queue.take(0.0, slots=2) == []
    assert queue.wake_at(0.0, slots=2) is None
    queue.finish(1.0, second)  # not the one that began first
    assert items(queue.take(1.0, slots=2)) == ["e", "f"]
    queue.finish(2.0, first)
    # The clients of "a" to "d" are answered and have nothing in flight: they may join.
    assert queue.take(2.0, slots=2) == []
    assert items(queue.take(2.0 + WAIT, slots=2)) == ["g"]


def test_fewer_slots_than_batches_that_run():
    queue = batcher(1)
    for item in "abc":
        queue.add(item, 0, item, 0.0)
    running = [queue.take(0.0, slots=2) for _ in range(2)]
    queue.finish(1.0, running[0])
    assert queue.take(1.0, slots=1) == []  # a painter has gone, and what it had runs elsewhere
    queue.finish(1.0, running[1])
    assert items(queue.take(1.0 + WAIT, slots=1)) == ["c"]
