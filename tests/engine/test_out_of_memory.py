"""Too little memory: batches shrink until they fit, and what cannot shrink says what helps."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine.out_of_memory import BatchLimit, explained

CPU = torch.device("cpu")


def limit(**fields: Any) -> BatchLimit:
    return BatchLimit(ModelSpec("tiny", **fields).resolved(), CPU, 64)


class Device:
    """Paints by doubling numbers, as long as its call has room for them; remembers the size of every call."""

    def __init__(self, batch: BatchLimit, room: int) -> None:
        self.batch, self.room, self.calls = batch, room, []

    def paint(self, numbers: list[int]) -> list[int]:
        size = self.batch.padded(len(numbers))
        self.calls.append(size)
        if size > self.room:
            raise torch.OutOfMemoryError("no room")
        return [2 * number for number in numbers]


@settings(deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.sampled_from(["plain", "compile", "reproducible"])
)
def test_everything_is_painted_in_order_and_few_calls_fail(most: int, room: int, count: int, kind: str) -> None:
    batch = limit(max_batch_size=most, **({} if kind == "plain" else {kind: True}))
    device = Device(batch, room)
    # Releasing memory collects garbage, which takes longer than all the rest.
    with mock.patch("inpaint_transform.engine.out_of_memory.release"):
        for _ in range(2):
            assert batch.in_batches(list(range(count)), device.paint) == [2 * number for number in range(count)]
    failed = [size for size in device.calls if size > room]
    assert all(later <= size // 2 for size, later in itertools.pairwise(failed))
    # What has failed is not tried again, and what is left is no smaller than it has to be.
    assert device.calls[len(failed) :] == [size for size in device.calls if size <= room]
    assert batch.most == most or 4 * batch.most > min(room, count)
    if kind == "compile" and failed:
        assert batch.most.bit_count() == 1


def test_padding_gives_one_size_where_results_may_not_depend_on_it_and_compiled_sizes_where_there_are_such() -> None:
    assert [limit(max_batch_size=6).padded(count) for count in (1, 3, 6)] == [1, 3, 6]
    assert [limit(max_batch_size=6, compile=True).padded(count) for count in (1, 3, 5)] == [1, 4, 6]
    assert [limit(max_batch_size=6, reproducible=True).padded(count) for count in (1, 3, 6)] == [6, 6, 6]


def test_no_room_for_a_single_crop_is_an_error_with_the_mend() -> None:
    batch = limit(max_batch_size=4)
    with pytest.raises(InpaintError, match=r"size=64: cpu has too little memory for a single crop; .*\(no room\)"):
        batch.in_batches([1, 2], Device(batch, 0).paint)


def test_what_is_no_lack_of_memory_passes() -> None:
    def broken(numbers: list[int]) -> list[int]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        limit().in_batches([1], broken)
    with pytest.raises(KeyError), explained("it does not fit"):
        raise KeyError("x")
    with pytest.raises(InpaintError, match=r"it does not fit \(no room\)"), explained("it does not fit"):
        raise torch.OutOfMemoryError("no room")
