"""The autoencoder: it learns, normalising changes latents but not pictures, and sharpening leaves its encoder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from inpaint_transform.fit import architecture, autoencoder
from inpaint_transform.fit.autoencoder import SHARPEN_RATE, Critic, Pixels
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.pictures import Sample


@pytest.fixture
def pixels(samples: list[Sample], tmp_path: Path) -> Pixels:
    return Pixels(Crops(samples, 32, 2), 24, 0, tmp_path / "pixels.npy", progress=False)


@pytest.fixture
def vae() -> Any:
    return architecture.build("minute", ["a"], 0).vae


def test_crops_are_cut_once(pixels: Pixels, samples: list[Sample], tmp_path: Path) -> None:
    example = dict(Crops(samples, 32, 2).draw(24, 0))[5]
    images, holes = pixels.batch(np.array([5, 2]))
    assert np.array_equal(((images[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy(), example.image)
    assert np.array_equal(holes[0, 0].numpy(), example.hole)
    again = Pixels.kept(tmp_path / "pixels.npy")
    assert again.count == 24
    assert torch.equal(again.batch(np.array([5]))[0], images[:1])


def test_it_learns(pixels: Pixels, vae: Any, tmp_path: Path) -> None:
    steps = list(autoencoder.train(vae, pixels, pixels, 40, 4, 0, tmp_path / "autoencoder.pt"))
    assert steps[-1].held_out is not None
    assert steps[-1].loss < steps[0].loss * 0.95


def test_a_grown_one_learns_the_latents_that_it_had(samples: list[Sample], tmp_path: Path) -> None:
    fine = Pixels(Crops(samples, 64, 4), 24, 0, tmp_path / "fine.npy", progress=False)
    base = architecture.build("minute", ["a"], 0)
    images = fine.batch(np.arange(24))[0]

    def distance(grown: Any) -> float:
        with torch.no_grad():
            old = base.vae.encode(functional.avg_pool2d(images, 2)).latent_dist.mode()
            return float((grown.encode(images).latent_dist.mode() - old).abs().mean() / old.std())

    grown = architecture.grow(base, 1, 0).vae
    before, teacher = distance(grown), {name: value.clone() for name, value in base.vae.state_dict().items()}
    list(autoencoder.train(grown, fine, fine, 60, 4, 0, tmp_path / "autoencoder.pt", base.vae))
    assert distance(grown) < 0.5 * before
    assert all(torch.equal(value, teacher[name]) for name, value in base.vae.state_dict().items())


def test_sharpening_changes_the_decoder_only_and_resumes(pixels: Pixels, tmp_path: Path) -> None:
    latents = torch.randn(5, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    coarse = autoencoder.coarse_pictures(architecture.build("minute", ["a"], 0).vae, latents)
    painted = autoencoder.Painted(latents, coarse)

    def sharpened(path: Path, *lengths: int) -> dict[str, torch.Tensor]:
        for steps in lengths:
            vae = architecture.build("minute", ["a"], 0).vae
            list(zip(range(steps), autoencoder.sharpen(vae, pixels, painted, 6, 4, 0, path), strict=False))
        list(autoencoder.sharpen(vae, pixels, painted, 6, 4, 0, path))
        return vae.state_dict()

    before = architecture.build("minute", ["a"], 0).vae.state_dict()
    after = sharpened(tmp_path / "whole.pt", 0)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    broken = sharpened(tmp_path / "broken.pt", 3, 6)
    assert all(torch.equal(after[name], broken[name]) for name in after)


def test_painted_pictures_keep_their_colours(pixels: Pixels, vae: Any, tmp_path: Path) -> None:
    latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    before = autoencoder.coarse_pictures(vae, latents)
    assert before.shape == (8, 3, autoencoder.COARSE, autoencoder.COARSE)

    def drifted(coarse: torch.Tensor, name: str) -> float:
        other = architecture.build("minute", ["a"], 0).vae
        painted = autoencoder.Painted(latents, coarse)
        list(autoencoder.sharpen(other, pixels, painted, 30, 8, 0, tmp_path / name))
        return float((autoencoder.coarse_pictures(other, latents) - before).mean())

    # Whatever the critic says: where the pictures are to be lighter, they become lighter.
    assert drifted(before + 1, "lighter.pt") > drifted(before, "same.pt") + 0.01


def test_the_critic_sees_patches() -> None:
    assert Critic()(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 3, 3)


def test_the_critic_soon_tells_faint_detail_from_none() -> None:
    rng = torch.Generator().manual_seed(0)
    coarse = functional.interpolate(torch.rand(16, 3, 8, 8, generator=rng) - 0.5, size=(32, 32), mode="bicubic")
    fine = coarse + 0.03 * torch.randn(coarse.shape, generator=rng)
    torch.manual_seed(0)
    critic = Critic()
    optimizer = torch.optim.Adam(critic.parameters(), SHARPEN_RATE, betas=(0.5, 0.9))
    for _ in range(60):
        optimizer.zero_grad()
        (functional.relu(1 - critic(fine[:12])) + functional.relu(1 + critic(coarse[:12]))).mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert critic(fine[12:]).mean(dim=(1, 2, 3)).min() > critic(coarse[12:]).mean(dim=(1, 2, 3)).max()


def test_normalised_latents_have_unit_variance_and_give_the_same_pictures(pixels: Pixels, vae: Any) -> None:
    images = ((pixels.batch(np.arange(8))[0].permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    before = autoencoder.round_trip(vae, images)
    autoencoder.normalise(vae, pixels)
    after = autoencoder.round_trip(vae, images)
    assert np.abs(after.astype(int) - before).max() <= 2
    with torch.no_grad():
        latents = vae.encode(pixels.batch(np.arange(24))[0]).latent_dist.mode()
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.05
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05


def test_psnr() -> None:
    black = np.zeros((1, 4, 4, 3), np.uint8)
    assert autoencoder.psnr(black, black) == np.inf
    assert autoencoder.psnr(black, black + 255) == pytest.approx(0)
