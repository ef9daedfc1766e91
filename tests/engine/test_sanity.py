"""Whether painted pixels can be used at all."""

from __future__ import annotations

import torch

from inpaint_transform.engine.sanity import MIN_DEVIATION, verdicts


def test_only_the_broken_image_of_a_batch_is_rejected() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 1, 8, 8)
    masks[:, :, 2:6, 2:6] = 1
    images[1, 2, 0, 0] = float("nan")
    # Flat where it was painted, whatever is around.
    images[2, :, 2:6, 2:6] = 0.5
    # Flat in two channels only.
    images[3, :2, 2:6, 2:6] = 0
    assert verdicts(images, masks) == [None, "not finite", "near constant", None]


def test_texture_is_told_from_a_flat_colour_by_its_deviation() -> None:
    masks = torch.ones(2, 1, 16, 16)
    noise = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean((2, 3), keepdim=True)) / noise.std((2, 3), keepdim=True)
    images = torch.cat([0.5 + noise * factor * MIN_DEVIATION / 255 for factor in (0.9, 1.1)])
    assert verdicts(images, masks) == ["near constant", None]


def test_what_overshoots_white_and_black_is_flat() -> None:
    wild = 5 + torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert verdicts(torch.cat([wild, -wild]), torch.ones(2, 1, 8, 8)) == ["near constant"] * 2
