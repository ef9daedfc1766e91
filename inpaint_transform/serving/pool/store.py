"""The store: one LMDB environment as one process sees it, across forks, resizes and the loss of its folder.

LMDB (http://www.lmdb.tech/doc) keeps what is committed whatever dies, and every process maps the same pages. Its rules
are kept here: an environment never crosses a fork, a file is never open twice in a process, and nothing is in use
while the map is exchanged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.pool.place import DATA, LOCK, check_place

logger = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = b"inpaint-transform pool 1"
# Looks and raw results; what eviction needs to know of them; objects' slots; which were asked for; counters; the
# settings with which it was filled; the rest.
NAMES = (b"items", b"states", b"slots", b"asked", b"counts", b"settings", b"meta")
# Threads that read at the same time, over all processes: eight workers with a thread a sample are 64.
MAX_READERS = 2048
# How often to look whether the folder still is the one that was opened.
LOOK_S = 1.0
# How often a full store is asked to make room for one write.
MAX_EVICTIONS = 3


class Store:
    """A pool's files. Thread-safe; opened at the first use in each process.

    Args:
        path: The folder.
        max_bytes: Most bytes that the data file may take.
        frozen: Whether it is only read.
        create: Whether to make a pool where there is none.
    """

    def __init__(self, path: Path, max_bytes: int, frozen: bool, create: bool = True) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.frozen = frozen
        self.create = create
        self.dbs: dict[bytes, Any] = {}
        self._start_empty()
        _stores.add(self)

    def _start_empty(self) -> None:
        self._env: lmdb.Environment | None = None
        self._place: tuple[int, int] | None = None
        self._looked = 0.0
        self._free = threading.Condition()
        self._users = 0
        self._closing = False

    def reading(self) -> Using:
        """A read transaction; what it gives are views that end with it. Not for code of others: it holds up forks.

        Raises:
            InpaintError: There is no pool, it is damaged, or it cannot be opened.
        """
        return Using(self, write=False)

    def write(
        self, work: Callable[[lmdb.Transaction[Any]], T], make_room: Callable[[lmdb.Transaction[Any], int], None]
    ) -> T:
        """Run ``work`` in a write transaction of its own.

        Args:
            work: Called again where the first try found no room.
            make_room: Deletes about so many bytes.

        Raises:
            InpaintError: See ``reading``.
            lmdb.Error, OSError: The disk is full, or no room could be made.
        """
        for _ in range(MAX_EVICTIONS):
            with contextlib.suppress(lmdb.MapFullError), Using(self, write=True) as transaction:
                return work(transaction)
            # Pages that are deleted in one transaction can be used again in the next.
            with Using(self, write=True) as transaction:
                make_room(transaction, self.max_bytes // 10)
        with Using(self, write=True) as transaction:
            return work(transaction)

    def close(self) -> None:
        """Let go of the files, once nobody uses them; the next use opens them again."""
        self._hold()
        self._release()

    def widen(self, max_bytes: int, create: bool) -> None:
        """Let the store be written to, up to so many bytes."""
        self._hold()
        self.frozen, self.max_bytes, self.create = False, max_bytes, create
        self._release()

    def begin(self, write: bool) -> lmdb.Transaction[Any]:
        """A transaction, until whose ``leave`` the files stay open; see ``Using``."""
        while True:
            env = self._enter()
            try:
                transaction = _begin(env, write)
            except BaseException:
                self.leave()
                raise
            if transaction is not None:
                return transaction
            self.leave()
            # Another process, with a larger max_bytes, has grown the file beyond this process's map.
            self.close()

    def _enter(self) -> lmdb.Environment:
        with self._free:
            while self._closing:
                self._free.wait()
            if time.monotonic() - self._looked > LOOK_S and self._users == 0:
                self._looked = time.monotonic()
                if self._env is not None and self._place != _place_of(self.path):
                    # Deleted, and perhaps made anew, under a running job.
                    logger.warning("the pool %s is gone or was replaced; it is opened again", self.path)
                    self._shut()
            if self._env is None:
                self._env = self._open()
            self._users += 1
            return self._env

    def leave(self) -> None:
        """Let go of what ``begin`` has taken."""
        with self._free:
            self._users -= 1
            if self._closing:
                self._free.notify_all()

    def _hold(self) -> None:
        """Wait until nobody uses the environment, close it, and keep everybody out until ``_release``."""
        with self._free:
            while self._closing:
                self._free.wait()
            self._closing = True
            while self._users:
                self._free.wait()
            self._shut()

    def _release(self) -> None:
        with self._free:
            self._closing = False
            self._free.notify_all()

    def _shut(self) -> None:
        env, self._env = self._env, None
        self.dbs = {}
        if env is not None:
            env.close()

    def _open(self) -> lmdb.Environment:
        check_place(self.path, self.frozen)
        if not self.create and not (self.path / DATA).exists():
            raise InpaintError(f"the pool {self.path} is gone")
        try:
            if not self.frozen:
                self.path.mkdir(parents=True, exist_ok=True)
            env = self._environment()
        except lmdb.Error as error:
            raise self._unusable(error) from error
        except OSError as error:
            raise InpaintError(
                f"reuse has path={str(self.path)!r}, where no pool can be made: {error}; give a folder that you may "
                f"write to, or read a filled pool with frozen=True"
            ) from error
        try:
            self._check(env)
        except lmdb.Error as error:
            env.close()
            raise self._unusable(error) from error
        except BaseException:
            env.close()
            raise
        env.reader_check()
        self._place = _place_of(self.path)
        return env

    def _environment(self) -> lmdb.Environment:
        settings: dict[str, Any] = {"max_dbs": len(NAMES), "max_readers": MAX_READERS}
        settings["readonly"] = self.frozen
        size = max(self.max_bytes, _size_of(self.path))
        # The system may fetch pages around those that are asked for, of which none will be wanted next.
        settings |= {"map_size": size // 4096 * 4096, "readahead": False, "metasync": False}
        if not self.frozen:
            return lmdb.open(os.fspath(self.path), **settings)
        try:
            return lmdb.open(os.fspath(self.path), **settings, create=False)
        except (lmdb.Error, OSError):
            # A folder that this process may only read, or a file system that is read-only: then nobody writes either.
            return lmdb.open(os.fspath(self.path), **settings, create=False, lock=False)

    def _check(self, env: lmdb.Environment) -> None:
        """Raise unless the file is a whole pool, then learn its parts; a new one gets them."""
        page, last = env.stat()["psize"], env.info()["last_pgno"]
        there = (self.path / DATA).stat().st_size
        if there < (last + 1) * page:
            # A page that is not there would end the process with a bus error. The last ones may be missing rightly,
            # where they were taken and given back in one transaction.
            if self.frozen or (last + 1) * page - there > 1 << 20:
                raise InpaintError(
                    f"reuse has path={str(self.path)!r}: its {DATA} is cut off ({there} bytes instead of "
                    f"{(last + 1) * page}); copy the pool again, or delete it"
                )
            os.truncate(self.path / DATA, (last + 1) * page)
        known = set(_names(env))
        if known and not known >= set(NAMES):
            raise InpaintError(
                f"reuse has path={str(self.path)!r}: its {DATA} holds something else than a pool; give another folder"
            )
        if self.frozen and not known:
            raise InpaintError(f"reuse has path={str(self.path)!r}, frozen=True: the pool is empty; fill it first")
        if not known:
            # In one transaction, so that no other process finds half a pool.
            with env.begin(write=True) as transaction:
                self.dbs = {name: env.open_db(name, transaction) for name in NAMES}
                transaction.put(b"format", FORMAT, db=self.dbs[b"meta"])
        else:
            self.dbs = {name: env.open_db(name, create=False) for name in NAMES}
        with env.begin() as transaction:
            found = transaction.get(b"format", db=self.dbs[b"meta"])
            if found != FORMAT:
                raise InpaintError(
                    f"reuse has path={str(self.path)!r}: the pool has the format {found!r}, and this release reads "
                    f"{FORMAT.decode()!r}; give another folder"
                )

    def _unusable(self, error: lmdb.Error) -> InpaintError:
        if (self.path / DATA).exists() and isinstance(
            error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.VersionMismatchError | lmdb.PageNotFoundError
        ):
            return InpaintError(
                f"reuse has path={str(self.path)!r}: its {DATA} is damaged or no pool ({error}); delete {DATA} and "
                f"{LOCK} there, or give another folder"
            )
        return InpaintError(
            f"reuse has path={str(self.path)!r}, which cannot be opened: {error}; give a folder that you may write to, "
            f"or read a filled pool with frozen=True"
        )


class Using:
    """A transaction for the length of a ``with``; a class, for a hit has no time for a generator.

    Args:
        store: The store.
        write: Whether to write.
    """

    def __init__(self, store: Store, write: bool) -> None:
        self._store = store
        self._write = write

    def __enter__(self) -> lmdb.Transaction[Any]:
        self._transaction = self._store.begin(self._write)
        return self._transaction

    def __exit__(self, *failure: Any) -> None:
        try:
            self._transaction.__exit__(*failure)
        finally:
            self._store.leave()


def _begin(env: lmdb.Environment, write: bool) -> lmdb.Transaction[Any] | None:
    """A transaction; None where the map has become too small."""
    try:
        return env.begin(write=True) if write else env.begin(buffers=True)
    except lmdb.MapResizedError:
        return None
    except lmdb.ReadersFullError:  # the places of killed processes
        env.reader_check()
        return env.begin(buffers=True)


def _names(env: lmdb.Environment) -> list[bytes]:
    with env.begin() as transaction, transaction.cursor() as cursor:
        return [bytes(key) for key in cursor.iternext(values=False)]


def _size_of(path: Path) -> int:
    try:
        return (path / DATA).stat().st_size
    except OSError:
        return 0


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = (path / DATA).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# An environment that is open while its process forks can be used in neither: all are closed before.
_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_held: list[Store] = []


def _before_fork() -> None:
    for store in list(_stores):
        store._hold()
        _held.append(store)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._release()


def _after_fork_in_child() -> None:
    _held.clear()
    for store in list(_stores):
        store._start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
