"""How the embedded model is made: with what its critic sees."""

from __future__ import annotations

import torch

from benchmarks.tiny.train import lite0


def test_the_critic_sees_four_scales_of_what_knows_pictures() -> None:
    eyes = lite0()
    pixels = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64).requires_grad_()
    maps = eyes(pixels)
    assert [tuple(found.shape) for found in maps] == [(2, 24, 16, 16), (2, 40, 8, 8), (2, 112, 4, 4), (2, 320, 2, 2)]
    assert all(torch.equal(one, other) for one, other in zip(maps, eyes(pixels), strict=True))
    # The denoiser learns through it, and it does not learn itself.
    sum(found.square().mean() for found in maps).backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
