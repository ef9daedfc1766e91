"""What the library warns of, without what else is warned of meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Those of the library; not the garbage collector's.
KINDS = (RuntimeWarning, UserWarning)


@contextmanager
def warned(about: str) -> Iterator[list[str]]:
    """Collect every warning of the library with a word in it, as often as it comes.

    Threads of tests before may still have something to say.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [text for found in caught if issubclass(found.category, KINDS) and about in (text := str(found.message))]
