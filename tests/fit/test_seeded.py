"""Seeded: new weights follow from a seed, and nobody else's random numbers do."""

from __future__ import annotations

import pytest
import torch

from inpaint_transform.fit.seeded import seeded


def test_the_same_seed_draws_the_same_and_the_caller_goes_on() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    drawn = []
    for _ in range(2):
        with seeded(1):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), wanted)


def test_no_gpu_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked worker could not answer, and each card would give memory for it."""

    def fail(*_: object) -> None:
        raise AssertionError("asked a GPU")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, fail)
    with seeded(1):
        torch.rand(1)
