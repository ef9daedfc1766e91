"""Raw results lie in the pool under their names, put there by whichever process painted them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inpaint_transform.core.protocol import Destination, InpaintResult
from inpaint_transform.serving.pool.contents import Contents, raw_key
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.raw import keep_raw
from inpaint_transform.serving.pool.records import unpack_raw


def test_results_lie_under_their_names(tmp_path: Path) -> None:
    results = [InpaintResult(np.full((4, 4, 3), 7, np.uint8)), InpaintResult(None, "not finite")]
    names = [raw_key(b"a" * 16, 0), raw_key(b"b" * 16, 2)]
    with keeper_of(tmp_path / "pool", 2_000_000, False, 8).store.reading():
        pass  # whoever asks for painting has opened it
    keep_raw(Destination(str(tmp_path / "pool"), 2_000_000, 8), names, results)
    keeper = keeper_of(tmp_path / "pool", 2_000_000, False, 8)
    keeper.flush()
    with keeper.store.reading() as transaction:
        contents = Contents(transaction, keeper.store.dbs)
        found = [unpack_raw(contents.item(name)) for name in names]
    assert np.array_equal(found[0].image, results[0].image)
    assert found[1].rejected == "not finite"


def test_a_pool_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    destination = Destination(str(tmp_path / "gone"), 2_000_000, 8)
    keep_raw(destination, [b"a" * 17], [InpaintResult(None, "not finite")])
    keeper_of(tmp_path / "gone", 2_000_000, False, 8, create=False).flush()
    assert not (tmp_path / "gone").exists()
