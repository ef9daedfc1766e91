"""Memory by descriptor: what is written on one side is read on the other, and nothing but that is taken."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from inpaint_transform.serving.transport import shared_memory
from inpaint_transform.serving.transport.shared_memory import SharedMemoryError

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no memfd")


@pytest.mark.parametrize("size", [1, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_both_sides_see_the_same_bytes(size: int) -> None:
    descriptor, mine = shared_memory.create(size)
    theirs = shared_memory.accept(os.dup(descriptor), 1 << 30)
    os.close(descriptor)
    assert mine.size == theirs.size >= size
    mine[size - 1] = 7
    assert theirs[size - 1] == 7
    theirs[0] = 9
    assert mine[0] == 9


def test_it_has_a_limit() -> None:
    descriptor, _ = shared_memory.create(1 << 21)
    with pytest.raises(SharedMemoryError, match="of 2097152 bytes"):
        shared_memory.accept(descriptor, 1 << 20)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    with pytest.raises(SharedMemoryError, match="not shared memory"):
        shared_memory.accept(os.open(tmp_path / "file", os.O_RDWR), 1 << 30)


def test_where_the_system_gives_none_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert shared_memory.create(1) is None
    monkeypatch.delattr(os, "memfd_create")
    assert shared_memory.create(1) is None


def test_no_room_for_what_is_right_is_another_error() -> None:
    descriptor, _ = shared_memory.create(1 << 28)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), limit[1]))
    try:
        with pytest.raises(OSError, match="Cannot allocate memory"):
            shared_memory.accept(descriptor, 1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
