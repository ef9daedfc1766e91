"""Raw results: what the process that paints in the background puts into a pool, for whoever draws that look next.

The process that asked may be gone by then, and only one that has the image at hand can blend and judge.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path

from inpaint_transform.core.protocol import Destination, InpaintResult
from inpaint_transform.serving.pool.contents import Contents, size_of
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.records import pack_raw


def keep_raw(destination: Destination, names: Sequence[bytes], results: Sequence[InpaintResult]) -> None:
    """Put results into a pool; returns at once. One that is gone is not made again: its job has ended.

    Args:
        destination: The pool.
        names: One a result.
        results: What was painted.
    """
    keeper = keeper_of(Path(destination.path), destination.max_bytes, False, destination.echo, create=False)
    for name, result in zip(names, results, strict=True):
        work = functools.partial(_put, name=name, value=pack_raw(result), now=time.time())
        keeper.put(work, size_of(work.keywords["value"]))


def _put(contents: Contents, name: bytes, value: bytes, now: float) -> None:
    contents.put(name, value, None, 0, now)
