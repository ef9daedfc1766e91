"""The decoder against critics: the encoder is left alone, what is painted keeps its colours, and detail is missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from seeing import Seeing
from torch.nn import functional

from inpaint_transform.fit import architecture, sharpening
from inpaint_transform.fit.autoencoder import Pixels
from inpaint_transform.fit.critic import Features
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.pictures import Sample
from inpaint_transform.fit.sharpening import RATE, Painted, PatchCritic

HOLE = functional.pad(torch.ones(1, 1, 8, 8), (4, 4, 4, 4))


@pytest.fixture
def pixels(samples: list[Sample], tmp_path: Path) -> Pixels:
    return Pixels(Crops(samples, 32, 2), 24, 0, tmp_path / "pixels.npy", progress=False)


def new_vae() -> Any:
    return architecture.build("minute", ["a"], 0).vae


def painted(count: int) -> Painted:
    latents = torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    return Painted(latents, HOLE.repeat(count, 1, 1, 1), sharpening.coarse_pictures(new_vae(), latents))


@pytest.mark.parametrize("features", [None, Seeing()])
def test_the_decoder_only_changes_and_a_broken_run_goes_on(
    pixels: Pixels, features: Features | None, tmp_path: Path
) -> None:
    some = painted(5)

    def sharpened(path: Path, *lengths: int) -> dict[str, torch.Tensor]:
        for steps in lengths:
            vae = new_vae()
            list(zip(range(steps), sharpening.sharpen(vae, pixels, some, 6, 4, 0, path, features), strict=False))
        list(sharpening.sharpen(vae, pixels, some, 6, 4, 0, path, features))
        return vae.state_dict()

    before = new_vae().state_dict()
    after = sharpened(tmp_path / "whole.pt", 0)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    broken = sharpened(tmp_path / "broken.pt", 3, 6)
    assert all(torch.equal(after[name], broken[name]) for name in after)


def test_painted_pictures_keep_their_colours(pixels: Pixels, tmp_path: Path) -> None:
    some = painted(8)
    before = some.coarse
    assert before.shape == (8, 3, sharpening.COARSE, sharpening.COARSE)

    def drifted(coarse: torch.Tensor, name: str) -> float:
        other = new_vae()
        list(sharpening.sharpen(other, pixels, replace(some, coarse=coarse), 30, 8, 0, tmp_path / name))
        return float((sharpening.coarse_pictures(other, some.latents) - before).mean())

    # Whatever the critic says: where the pictures are to be lighter, they become lighter.
    assert drifted(before + 1, "lighter.pt") > drifted(before, "same.pt") + 0.01


def test_the_critic_sees_patches() -> None:
    assert PatchCritic()(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 3, 3)


def test_the_critic_soon_tells_faint_detail_from_none() -> None:
    rng = torch.Generator().manual_seed(0)
    coarse = functional.interpolate(torch.rand(16, 3, 8, 8, generator=rng) - 0.5, size=(32, 32), mode="bicubic")
    fine = coarse + 0.03 * torch.randn(coarse.shape, generator=rng)
    torch.manual_seed(0)
    critic = PatchCritic()
    optimizer = torch.optim.Adam(critic.parameters(), RATE, betas=(0.5, 0.9))
    for _ in range(60):
        optimizer.zero_grad()
        (functional.relu(1 - critic(fine[:12])) + functional.relu(1 + critic(coarse[:12]))).mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert critic(fine[12:]).mean(dim=(1, 2, 3)).min() > critic(coarse[12:]).mean(dim=(1, 2, 3)).max()


def test_whole_objects_have_to_convince_too(pixels: Pixels, tmp_path: Path) -> None:
    weights = []
    for name, features in (("patches", None), ("objects", Seeing())):
        vae = new_vae()
        list(sharpening.sharpen(vae, pixels, painted(4), 6, 4, 0, tmp_path / name, features))
        weights.append(vae.decoder.conv_out.weight)
    assert not torch.equal(*weights)
