"""The shared epoch: every child process reads what its parent set last, and nothing is left behind."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from inpaint_transform.faces.epoch import SharedEpoch


def report(epoch: SharedEpoch, pipe: Connection) -> None:
    """Answer every message with the epoch as this process sees it; a number sets it first."""
    while (message := pipe.recv()) != "stop":
        if isinstance(message, int):
            epoch.value = message
        pipe.send(epoch.value)


def report_from_a_grandchild(epoch: SharedEpoch, pipe: Connection, method: str) -> None:
    child = multiprocessing.get_context(method).Process(target=report, args=(epoch, pipe))
    child.start()
    child.join()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_see_later_changes_and_so_does_the_parent(method: str) -> None:
    context = multiprocessing.get_context(method)
    epoch = SharedEpoch(3)
    ours, theirs = context.Pipe()
    child = context.Process(target=report, args=(epoch, theirs))
    child.start()
    try:
        for value in (4, 5, 2**40):
            epoch.value = value
            ours.send("which?")
            assert ours.poll(60)
            assert ours.recv() == value
        ours.send(77)
        assert ours.poll(60)
        assert ours.recv() == epoch.value == 77
        ours.send("stop")
    finally:
        child.join(60)
        child.kill()
    assert child.exitcode == 0
    # The child is gone; the number is not.
    epoch.value = 78
    assert epoch.value == 78


@pytest.mark.parametrize(("first", "second"), [("spawn", "fork"), ("spawn", "spawn")])
def test_grandchildren_see_later_changes(first: str, second: str) -> None:
    context = multiprocessing.get_context(first)
    epoch = SharedEpoch()
    ours, theirs = context.Pipe()
    child = context.Process(target=report_from_a_grandchild, args=(epoch, theirs, second))
    child.start()
    try:
        epoch.value = 9
        ours.send("which?")
        assert ours.poll(60)
        assert ours.recv() == 9
        ours.send("stop")
    finally:
        child.join(60)
        child.kill()
    assert child.exitcode == 0


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_value_reads_back(value: int) -> None:
    epoch = SharedEpoch(value)
    assert epoch.value == value
    epoch.value = 0
    epoch.value = value
    assert epoch.value == value


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_in_one_process_share(duplicate) -> None:
    epoch = SharedEpoch(1)
    [other] = duplicate([epoch])
    epoch.value = 5
    assert other.value == 5
    other = duplicate(epoch)
    other.value = 6
    assert epoch.value == 6


def test_a_plain_pickle_carries_the_current_value() -> None:
    epoch = SharedEpoch(1)
    epoch.value = 5
    stored = pickle.dumps(epoch)
    epoch.value = 6
    loaded = pickle.loads(stored)
    assert loaded.value == 5
    loaded.value = 7
    assert epoch.value == 6


def test_two_epochs_are_apart() -> None:
    first, second = SharedEpoch(1), SharedEpoch(2)
    first.value = 10
    assert (first.value, second.value) == (10, 2)


def test_nothing_is_left_in_the_temp_folder_nor_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    descriptors = Path("/proc/self/fd")

    def opened() -> int:
        gc.collect()
        return len(os.listdir(descriptors)) if descriptors.exists() else 0  # noqa: PTH208 - iterdir holds one open

    before = opened()
    epochs = [SharedEpoch(number) for number in range(20)]
    assert list(tmp_path.iterdir()) == [], "not even while they live"
    assert [epoch.value for epoch in epochs] == list(range(20))
    del epochs
    assert opened() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_who_never_set_it_is_known_everywhere(method: str) -> None:
    epoch = SharedEpoch()
    assert not epoch.told
    assert not pickle.loads(pickle.dumps(epoch)).told
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=report, args=(epoch, theirs))
    child.start()
    ours.send(0)
    assert ours.poll(60)
    assert ours.recv() == 0
    ours.send("stop")
    child.join(60)
    assert epoch.told
    assert pickle.loads(pickle.dumps(epoch)).told
    assert copy.deepcopy(epoch).told
