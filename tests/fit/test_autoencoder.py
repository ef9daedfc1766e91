"""The autoencoder: it learns, and normalising changes latents but not pictures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from inpaint_transform.fit import architecture, autoencoder
from inpaint_transform.fit.autoencoder import Pixels
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
    list(autoencoder.train(grown, fine, fine, 90, 4, 0, tmp_path / "autoencoder.pt", base.vae))
    assert distance(grown) < 0.5 * before
    assert all(torch.equal(value, teacher[name]) for name, value in base.vae.state_dict().items())


def test_one_that_is_trained_further_keeps_its_latents_nearly(
    pixels: Pixels, vae: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels.batch(np.arange(24))[0]

    def moved(name: str) -> float:
        further = copy.deepcopy(vae)
        list(autoencoder.train(further, pixels, pixels, 60, 4, 0, tmp_path / name, vae))
        with torch.no_grad():
            before, after = (one.encode(images).latent_dist.mode() for one in (vae, further))
        return float(((after - before) ** 2).mean() / before.var())

    monkeypatch.setattr(autoencoder, "MOVED_WEIGHT", 1.0)
    tied = moved("tied.pt")
    monkeypatch.setattr(autoencoder, "MOVED_WEIGHT", 0.0)
    assert 0 < tied < 0.5 * moved("free.pt")


def test_the_hole_is_learnt_before_what_is_given(
    pixels: Pixels, vae: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, holes = pixels.batch(np.arange(24))

    def error(weight: float) -> float:
        monkeypatch.setattr(autoencoder, "HOLE_WEIGHT", weight)
        learnt = copy.deepcopy(vae)
        list(autoencoder.train(learnt, pixels, pixels, 60, 4, 0, tmp_path / f"{weight}.pt"))
        with torch.no_grad():
            wrong = (
                (learnt.decode(learnt.encode(images).latent_dist.mode()).sample - images).abs().mean(1, keepdim=True)
            )
        return float(wrong[holes].mean() / wrong[~holes].mean())

    assert error(20.0) < error(0.0)


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
