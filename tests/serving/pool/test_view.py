"""A pool at one moment: what serves, what waits to be judged, and nothing that comes later."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from inpaint_transform.core.edit import Look
from inpaint_transform.core.looks import Kept
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.serving.pool.contents import Contents, raw_key
from inpaint_transform.serving.pool.records import pack_look, pack_raw
from inpaint_transform.serving.pool.store import Store
from inpaint_transform.serving.pool.view import Reading

KEY, SLOT, OTHER = b"k" * 16, b"s" * 16, b"o" * 16


def kept(level: int) -> Kept:
    return Kept(True, None, 1, 1, box=(0, 0, 4, 4), pixels=np.full((4, 4, 3), level, np.uint8))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, 2_000_000, False)

    def fill(transaction) -> None:
        contents = Contents(transaction, store.dbs)
        look = Look(OTHER.hex(), SLOT.hex(), 0, 0)
        contents.settle(KEY, pack_look(kept(7)), kept(7), look, time.time())
        contents.put(raw_key(OTHER, 1), pack_raw(InpaintResult(np.full((8, 8, 3), 9, np.uint8))), None, 0, 0.0)
        contents.put(b"d" * 16, b"damaged", None, 0, 0.0)

    store.write(fill, lambda *_: None)
    return store


def test_what_is_there_is_found(store: Store) -> None:
    with Reading(store) as view:
        found = view.find(KEY)
        assert found.pixels.max() == 7
        assert view.slot(SLOT).look == KEY
        assert [look.pixels.max() for look in view.looks()] == [7]
        assert view.find(OTHER) is None
        assert view.find(b"d" * 16) is None
        assert view.painted(OTHER, 0) is None
        raw = view.painted(OTHER, 1)
    assert raw.image.max() == 9  # its own, unlike the pixels of a look


def test_what_comes_later_is_not_seen(store: Store) -> None:
    with Reading(store) as view:
        store.write(lambda t: Contents(t, store.dbs).put(OTHER, pack_look(kept(1)), None, 0, 0.0), lambda *_: None)
        assert view.find(OTHER) is None
    with Reading(store) as view:
        assert view.find(OTHER).pixels.max() == 1


def test_an_error_inside_lets_go_of_the_files(store: Store) -> None:
    with pytest.raises(KeyError), Reading(store):
        raise KeyError("x")
    store.close()  # would wait for ever for whoever still reads
