"""What may share a pipeline call."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.protocol import REFERENCE_SIDE, InpaintRequest, share_key


def request(strength: float, size: int = 8) -> InpaintRequest:
    return InpaintRequest(np.zeros((size, size, 3), np.uint8), np.ones((size, size), bool), "", strength=strength)


@given(st.integers(1, 100), st.floats(0.01, 1))
def test_a_strength_runs_and_skips_all_steps_but_one_at_most(steps: int, strength: float) -> None:
    run, skipped, *shape = share_key(request(strength), steps)
    assert steps - 1 <= run + skipped <= steps
    assert run <= steps * strength < run + 1
    assert shape == [8, 8, 3]


@given(st.integers(1, 100))
def test_a_range_of_strengths_has_few_keys(steps: int) -> None:
    keys = {share_key(request(strength), steps) for strength in np.linspace(0.01, 1, 1000).tolist()}
    assert len(keys) <= 2 * steps + 1


def test_sizes_do_not_mix() -> None:
    assert share_key(request(1.0, 8), 20) != share_key(request(1.0, 16), 20)


def with_reference(level: int) -> InpaintRequest:
    square = np.full((REFERENCE_SIDE, REFERENCE_SIDE, 3), level, np.uint8)
    return dataclasses.replace(request(1.0), reference=square)


def test_what_has_a_reference_does_not_mix_with_what_has_none() -> None:
    assert share_key(with_reference(1), 20) == share_key(with_reference(2), 20) != share_key(request(1.0), 20)


def test_a_copy_has_pixels_of_its_own() -> None:
    for one in (request(1.0), with_reference(7)):
        own = one.copy()
        assert (
            own.nbytes
            == one.nbytes
            == sum(part.nbytes for part in (one.image, one.mask, one.reference) if part is not None)
        )
        for part, its in ((one.image, own.image), (one.mask, own.mask), (one.reference, own.reference)):
            assert (part is None and its is None) or (np.array_equal(part, its) and not np.shares_memory(part, its))
