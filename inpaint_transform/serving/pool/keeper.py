"""The keeper: the thread of a process that writes into a store, so that nothing else ever waits for a disk."""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lmdb

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.user_warning import warn_user
from inpaint_transform.serving.forks import call_after_fork
from inpaint_transform.serving.pool.contents import FULL, ROOM, Contents
from inpaint_transform.serving.pool.store import Store

logger = logging.getLogger(__name__)

Work = Callable[[Contents], None]

# How long counts may wait for company, and looks for theirs: a commit costs a few milliseconds of a disk.
COUNTS_S = 1.0
WORK_S = 0.02
# What may pile up in front of a slow disk, in bytes; what comes beyond is painted again some day.
MAX_PENDING = 256 << 20
# Longest wait at a process's end.
END_S = 5.0


class Keeper:
    """Writes into one store, many things at a time. Thread-safe and fork-safe.

    Args:
        store: The store.
        echo: Uses after which a look is due.
    """

    def __init__(self, store: Store, echo: int) -> None:
        self.store = store
        self.echo = echo
        self._start_empty()
        call_after_fork(self, Keeper._start_empty)

    def _start_empty(self) -> None:
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._work: list[tuple[Work, int]] = []
        self._pending = 0
        self._uses: Counter[tuple[bytes, int]] = Counter()
        self._counts: dict[bytes, Counter[str]] = {}
        self._asked: set[bytes] = set()
        self._hurry = False
        self._busy = False
        self._warned = False

    def put(self, work: Work, size: int = 0) -> None:
        """Have something written soon.

        Args:
            work: Called in a write transaction, perhaps twice.
            size: Bytes that it holds meanwhile.
        """
        if size > self.store.max_bytes // 2:
            self._warn(f"a look of {size} bytes does not fit into max_bytes={self.store.max_bytes}; give more")
            return
        with self._news:
            if self._pending + size <= MAX_PENDING:
                self._work.append((work, size))
                self._pending += size
                self._start()
                self._news.notify_all()

    def use(self, slot: bytes, generation: int) -> None:
        """Count a use of a slot's look."""
        with self._news:
            self._uses[slot, generation] += 1
            self._start()

    def ask(self, slots: Iterable[bytes]) -> None:
        """Note slots of which a look was missing."""
        with self._news:
            self._asked.update(slots)
            self._start()

    def count(self, key: bytes, counts: Counter[str]) -> None:
        """Add to counters."""
        with self._news:
            self._counts.setdefault(key, Counter()).update(counts)
            self._start()

    def flush(self, timeout: float = END_S) -> None:
        """Return when everything up to now is written, or given up."""
        with self._news:
            self._hurry = True
            self._news.notify_all()
            self._news.wait_for(lambda: not (self._busy or self._waiting()) or self._thread is None, timeout)

    def _waiting(self) -> bool:
        return bool(self._work or self._uses or self._counts or self._asked)

    def _start(self) -> None:
        # Counts do not wake the thread: it would take the interpreter from whoever counts, thousands of times a second.
        if self._thread is None:
            # Workers of a DataLoader leave without the interpreter's own ending, but not without this one.
            multiprocessing.util.Finalize(None, self.flush, exitpriority=10)
            self._thread = threading.Thread(target=self._run, name="inpaint-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._hurry or self._work, COUNTS_S)
                if self._work:  # others may come in the next moment
                    self._news.wait_for(lambda: self._hurry, WORK_S)
                if not self._waiting():
                    self._hurry = False
                    self._news.notify_all()
                    continue
                work, self._work = [each for each, _ in self._work], []
                uses, self._uses = self._uses, Counter()
                counts, self._counts = self._counts, {}
                asked, self._asked = self._asked, set()
                self._pending = 0
                self._hurry, self._busy = False, True
            try:
                self._write(work, uses, counts, asked)
            finally:
                with self._news:
                    self._busy = False
                    self._news.notify_all()

    def _write(
        self, work: list[Work], uses: Counter[tuple[bytes, int]], counts: dict[bytes, Counter[str]], asked: set[bytes]
    ) -> None:
        now = time.time()
        limit = self.store.max_bytes

        def write(transaction: lmdb.Transaction[Any]) -> None:
            contents = Contents(transaction, self.store.dbs)
            for each in work:
                each(contents)
            for (slot, generation), times in uses.items():
                contents.use(slot, generation, times, self.echo, now)
            contents.ask(asked)
            for key, added in counts.items():
                contents.add_counts(key, added)
            if (total := contents.total_bytes) > FULL * limit:
                contents.make_room(int(total - ROOM * limit), self.echo)

        def make_room(transaction: lmdb.Transaction[Any], size: int) -> None:
            Contents(transaction, self.store.dbs).make_room(size, self.echo)

        try:
            self.store.write(write, make_room)
        except lmdb.MapFullError as error:
            if len(work) < 2:
                self._warn(str(error))
                return
            # More than the pool has room for within one transaction: old looks go between two.
            half = len(work) // 2
            self._write(work[:half], Counter(), {}, set())
            self._write(work[half:], uses, counts, asked)
        except (lmdb.Error, OSError, InpaintError) as error:
            self._warn(str(error))

    def _warn(self, why: str) -> None:
        logger.debug("the pool %s is not written to: %s", self.store.path, why)
        if not self._warned:
            self._warned = True
            warn_user(f"reuse has path={str(self.store.path)!r}: what is painted is not kept: {why}")


_keepers: dict[str, Keeper] = {}
_lock = threading.Lock()


def keeper_of(path: Path, max_bytes: int, frozen: bool, echo: int, create: bool = True) -> Keeper:
    """The keeper of a folder: the same one in all of a process, for no file may be open twice.

    Args:
        path: The folder.
        max_bytes: Most bytes of it; the largest that is asked for counts.
        frozen: Whether it is only read; it is written to as soon as one transform wants that.
        echo: Uses after which a look is due.
        create: Whether to make a pool where there is none.
    """
    place = os.path.realpath(path)
    with _lock:
        keeper = _keepers.get(place)
        if keeper is None:
            keeper = _keepers[place] = Keeper(Store(path, max_bytes, frozen, create), echo)
        store = keeper.store
        if not frozen and (store.frozen or max_bytes > store.max_bytes or (create and not store.create)):
            store.widen(max(max_bytes, store.max_bytes), create or store.create)
        if not frozen:
            keeper.echo = echo
        return keeper


def flush_all() -> None:
    """Return when everything in this process is written."""
    for keeper in list(_keepers.values()):
        keeper.flush()


def _unlock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
