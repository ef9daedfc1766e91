"""What may share a pipeline call."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.protocol import InpaintRequest, share_key


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
