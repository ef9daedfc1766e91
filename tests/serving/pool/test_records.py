"""Records: what is packed comes back, without a copy, and anything else is no record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_transform.core.looks import Kept
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.serving.pool.records import pack_look, pack_raw, unpack_look, unpack_raw

KEPT = Kept(True, None, 5, 2, {"fill": 0.5}, True, (1, 2, 4, 6), None, "cat", "a cat", "tiny", 3, 12.5)


DTYPES = {np.uint8: None, np.uint16: None, np.float32: st.floats(0, 1, width=32)}
SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)


@given(st.sampled_from([*DTYPES]).flatmap(lambda d: hnp.arrays(d, SHAPES, elements=DTYPES[d])), st.text())
def test_looks_come_back(pixels: np.ndarray, prompt: str) -> None:
    kept = Kept(**{**vars(KEPT), "pixels": pixels, "prompt": prompt})
    value = memoryview(pack_look(kept))
    found = unpack_look(value)
    assert found is not None
    assert {**vars(found), "pixels": None} == {**vars(kept), "pixels": None}
    assert found.pixels.dtype == pixels.dtype
    assert np.array_equal(found.pixels, pixels)
    assert not found.pixels.flags.owndata


def test_a_rejected_look_has_no_pixels() -> None:
    found = unpack_look(memoryview(pack_look(KEPT)))
    assert found is not None
    assert found.pixels is None


@pytest.mark.parametrize(
    "result",
    [
        InpaintResult(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), answer=(0.25, 0.75)),
        InpaintResult(None, "near constant"),
    ],
    ids=str,
)
def test_raw_results_come_back_as_copies(result: InpaintResult) -> None:
    found = unpack_raw(memoryview(pack_raw(result)))
    assert found is not None
    assert (found.rejected, found.answer) == (result.rejected, result.answer)
    assert found.image is None if result.image is None else np.array_equal(found.image, result.image)
    assert found.image is None or found.image.flags.writeable


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_records_are_none(noise: bytes, length: int) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    whole = pack_look(Kept(**{**vars(KEPT), "pixels": pixels}))
    for value in (noise, whole[: min(length, len(whole) - 1)], bytes(len(whole)), b"LOOK\xff\xff\xff\x7f" + noise):
        assert unpack_look(memoryview(value)) is None
    assert unpack_look(memoryview(pack_raw(InpaintResult(None, "x")))) is None
