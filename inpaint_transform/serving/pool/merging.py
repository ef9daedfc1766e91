"""Merging: pools that several machines have filled a part of each become one.

Each part says what it is a part of, and when it is whole. Looks are taken as they are, so the pool has those that one
machine would have painted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from inpaint_transform.serving.pool.contents import FULL, Contents
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.pool import Pool, differences
from inpaint_transform.serving.pool.store import Store

_PART = b"part"
# Looks in one transaction: readers go on meanwhile, but other writers wait.
CHUNK = 64


def finish_part(pool: Pool, whole: str) -> None:
    """Note that a pool has all looks of its part.

    Args:
        pool: The part's.
        whole: What it is a part of; the same for all parts that belong together.
    """
    pool.note(_PART, whole)


def merge(pool: Pool, parts: Sequence[Path], whole: str, step: Callable[[int], None] = lambda _: None) -> int:
    """Take the looks of all parts into a pool; those that it has already stay. Called again, it goes on.

    Args:
        pool: The pool.
        parts: The folders of all parts.
        whole: As for ``finish_part``.
        step: Is told how many looks are done.

    Returns:
        How many looks were taken.

    Raises:
        ValueError: A part is not finished, is one of something else, or was painted with other settings; or the pool
            has no room for all of them.
        InpaintError: A part or the pool cannot be read, or the pool cannot be written to.
    """
    stores = [keeper_of(path, 0, frozen=True, echo=1).store for path in parts]
    size = sum(_checked(store, pool, whole) for store in stores)
    limit = pool.reuse.bytes
    if size > FULL * limit:
        raise ValueError(
            f"max_bytes={pool.reuse.max_bytes!r}: the parts hold {size / 1e6:.4g} MB of looks; give at least "
            f"{-(-size // int(FULL * 1e6))}MB"
        )
    taken = 0
    for store in stores:
        with store.reading() as transaction:
            part = Contents(transaction, store.dbs)
            keys = [key for key, _ in part.slots()]
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                taken += pool.take(part, chunk)
                step(len(chunk))
    return taken


def _checked(store: Store, pool: Pool, whole: str) -> int:
    """The bytes that a part holds, once it is known to be one of this whole."""
    with store.reading() as transaction:
        contents = Contents(transaction, store.dbs)
        noted, settings, size = contents.noted(_PART), contents.settings(), contents.total_bytes
    if noted is None:
        raise ValueError(f"{store.path} is not finished: run the command of that shard again, and merge then")
    pool.adopt(settings)
    if settings and pool.settings not in settings:
        differ = differences(json.loads(next(iter(settings.values()))), json.loads(pool.words))
        raise ValueError(
            f"{store.path} was painted with other settings ({differ}); merge with the options of the shards"
        )
    if noted != whole:
        raise ValueError(
            f"{store.path} was painted for {noted}, and now it is {whole}; merge with the data and the options of the "
            f"shards"
        )
    return size
