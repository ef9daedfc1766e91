"""The keeper: nothing waits for it, nothing is lost at an orderly end, and a broken disk is a single warning."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from warned import warned

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.keeper import Keeper, keeper_of
from inpaint_transform.serving.pool.store import Store


def read(keeper: Keeper, key: bytes):
    with keeper.store.reading() as transaction:
        found = Contents(transaction, keeper.store.dbs).item(key)
        return None if found is None else bytes(found)


def put(keeper: Keeper, key: bytes, value: bytes) -> None:
    keeper.put(lambda contents: contents.put(key, value, None, 0, 1.0), len(value))


@contextlib.contextmanager
def busy(keeper: Keeper) -> Iterator[None]:
    """Its thread writes for as long as this lasts, so what is put meanwhile is written at once afterwards."""
    entered, leave = threading.Event(), threading.Event()

    def slow(contents: Contents) -> None:
        entered.set()
        leave.wait(10)

    keeper.put(slow)
    entered.wait(10)
    try:
        yield
    finally:
        leave.set()


def test_a_writer_waits_for_nothing(tmp_path: Path) -> None:
    keeper = Keeper(Store(tmp_path, 10_000_000, False), 8)
    with busy(keeper):
        put(keeper, b"a" * 16, b"value")  # would never come back if it waited
        assert read(keeper, b"a" * 16) is None
    keeper.flush()
    assert read(keeper, b"a" * 16) == b"value"


def test_uses_and_counts_are_written_together(tmp_path: Path) -> None:
    keeper = Keeper(Store(tmp_path, 10_000_000, False), 8)
    for _ in range(1000):
        keeper.count(b"job", Counter(hit=1))
    keeper.flush()
    with keeper.store.reading() as transaction:
        assert Contents(transaction, keeper.store.dbs).counts(b"job") == {"hit": 1000}
        # A transaction a hit would be hundreds.
        assert transaction.id() < 30


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_a_worker_wrote_last_survives_its_orderly_end(tmp_path: Path, method: str) -> None:
    keeper = keeper_of(tmp_path / "pool", 10_000_000, False, 8)
    put(keeper, b"p" * 16, b"parent")
    child = multiprocessing.get_context(method).Process(target=_work, args=(tmp_path / "pool",))
    child.start()
    child.join()
    assert child.exitcode == 0
    keeper.flush()
    assert read(keeper, b"c" * 16) == b"child"
    assert read(keeper, b"p" * 16) == b"parent"


def _work(path: Path) -> None:
    put(keeper_of(path, 10_000_000, False, 8), b"c" * 16, b"child")


def test_a_store_that_cannot_be_written_to_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(Store(tmp_path, 10_000_000, False), 8)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeper.store, "write", full)
    with warned(str(tmp_path)) as said:
        for _ in range(3):
            put(keeper, b"a" * 16, b"value")
            keeper.flush()
    [warning] = said
    assert "not kept" in warning
    assert "No space left" in warning


def test_a_look_larger_than_the_pool_is_named_and_not_kept(tmp_path: Path) -> None:
    keeper = Keeper(Store(tmp_path, 1_000_000, False), 8)
    with pytest.warns(RuntimeWarning, match="800000 bytes does not fit into max_bytes=1000000"):
        put(keeper, b"a" * 16, bytes(800_000))
    keeper.flush()
    assert read(keeper, b"a" * 16) is None


def test_old_looks_go_before_the_pool_is_full(tmp_path: Path) -> None:
    keeper = Keeper(Store(tmp_path, 2_000_000, False), 8)
    for number in range(60):
        put(keeper, bytes([number]) * 16, os.urandom(100_000))
        keeper.flush()
    with keeper.store.reading() as transaction:
        assert Contents(transaction, keeper.store.dbs).total_bytes < 2_000_000
    assert read(keeper, bytes([59]) * 16) is not None


def test_more_than_the_pool_holds_is_written_bit_by_bit(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    keeper = Keeper(Store(tmp_path, 1_000_000, False), 8)
    with busy(keeper):
        for number in range(30):
            put(keeper, bytes([number]) * 16, bytes([number]) * 100_000)
    keeper.flush()
    kept = [number for number in range(30) if read(keeper, bytes([number]) * 16) is not None]
    assert len(kept) >= 4
    assert kept[-1] == 29
    assert not recwarn.list


def test_one_folder_has_one_keeper_which_writes_if_anyone_does(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    first = keeper_of(path, 2_000_000, False, 8)
    put(first, b"a" * 16, b"value")
    first.flush()
    (tmp_path / "link").symlink_to(path)
    assert keeper_of(tmp_path / "link", 4_000_000, True, 8) is first
    assert keeper_of(path, 4_000_000, False, 8) is first
    assert first.store.max_bytes == 4_000_000
    assert read(first, b"a" * 16) == b"value"


def test_a_frozen_pool_that_somebody_else_writes_to_is_thawed(tmp_path: Path) -> None:
    with pytest.raises(InpaintError, match="there is no pool"):
        read(keeper_of(tmp_path / "pool", 2_000_000, True, 8), b"a" * 16)
    keeper = keeper_of(tmp_path / "pool", 2_000_000, False, 8)
    put(keeper, b"a" * 16, b"value")
    keeper.flush()
    assert read(keeper, b"a" * 16) == b"value"
