"""A pool at one moment, as whoever looks for looks sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from inpaint_transform.core.looks import Kept
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.serving.pool import records
from inpaint_transform.serving.pool.contents import Contents, Slot, raw_key
from inpaint_transform.serving.pool.store import Store


class View:
    """A pool at one moment."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def find(self, key: bytes) -> Kept | None:
        """The look that is kept under a key; its pixels are a view."""
        value = self._contents.item(key)
        return None if value is None else records.unpack_look(value)

    def painted(self, key: bytes, attempt: int) -> InpaintResult | None:
        """What was painted in the background and nobody has judged yet; copied."""
        value = self._contents.item(raw_key(key, attempt))
        return None if value is None else records.unpack_raw(value)

    def slot(self, key: bytes) -> Slot | None:
        """A slot, if a look of it has ever been judged."""
        return self._contents.slot(key)

    def looks(self) -> Iterator[Kept]:
        """All looks that serve, in no order; the pixels are views."""
        for _, slot in self._contents.slots():
            kept = self.find(slot.look)
            if kept is not None:
                yield kept


class Reading:
    """A pool for the length of a ``with``.

    Args:
        store: Its files.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._using = store.reading()

    def __enter__(self) -> View:
        return View(Contents(self._using.__enter__(), self._store.dbs))

    def __exit__(self, *failure: Any) -> None:
        self._using.__exit__(*failure)
