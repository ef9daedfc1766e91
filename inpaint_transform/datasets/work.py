"""Work on many files at once, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any


def as_they_finish(work: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Work on the items in threads; gives the results as they get ready, and begins nothing more after an error.

    Args:
        work: What is done with each.
        items: Any number.
        workers: How many threads, >= 1.
    """
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[Any]] = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
