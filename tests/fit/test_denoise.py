"""The denoiser's loss under each prediction type, and the cache of latents."""

from __future__ import annotations

from pathlib import Path

import diffusers
import numpy as np
import pipelines
import pytest
import torch

from inpaint_transform.fit import denoise
from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.denoise import Latents, Schedule
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.pictures import Sample


def scheduler(prediction: str) -> diffusers.DDIMScheduler:
    return diffusers.DDIMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)


def some_latents(count: int = 6) -> Latents:
    rng = torch.Generator().manual_seed(0)
    hole = torch.zeros(count, 1, 4, 4, dtype=torch.bool)
    hole[:, :, :2] = True
    return Latents(
        torch.randn(count, 4, 4, 4, generator=rng).half(),
        torch.randn(count, 4, 4, 4, generator=rng).half(),
        hole,
        ["a", None] * (count // 2),
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_who_knows_the_answer_has_no_loss(prediction: str) -> None:
    schedule, latents = Schedule(scheduler(prediction)), some_latents()
    clean = latents.clean.float()

    def oracle(noisy: torch.Tensor, times: torch.Tensor, captions: list[str]) -> torch.Tensor:
        assert noisy.shape == (6, 9, 4, 4)
        assert torch.equal(noisy[:, 4:5], latents.hole.float())
        assert torch.equal(noisy[:, 5:], latents.masked.float())
        alpha = schedule.alphas[times][:, None, None, None]
        noise = (noisy[:, :4] - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        answers = {
            "epsilon": noise,
            "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * clean,
            "sample": clean,
        }
        return answers[prediction]

    generator = torch.Generator().manual_seed(1)
    assert schedule.loss(oracle, latents, [""] * 6, generator).item() == pytest.approx(0, abs=1e-6)
    assert schedule.loss(lambda noisy, *_: noisy[:, :4] * 0, latents, [""] * 6, generator).item() > 0.01


def test_mistakes_in_the_hole_weigh_more() -> None:
    schedule, latents = Schedule(scheduler("sample")), some_latents()
    clean, hole = latents.clean.float(), latents.hole.float()
    losses = [
        schedule.loss(lambda *_, where=where: clean + where, latents, [""] * 6, torch.Generator().manual_seed(0)).item()
        for where in (hole, 1 - hole)
    ]
    assert losses[1] / losses[0] == pytest.approx(denoise.WEIGHT_OUTSIDE)


@pytest.mark.parametrize("alpha", [0.001, 0.1, 0.7, 0.99])
def test_velocities_count_in_full_unless_there_is_hardly_any_noise(alpha: float) -> None:
    schedule, latents = Schedule(scheduler("v_prediction")), some_latents()
    schedule.alphas = torch.tensor([alpha])
    clean = latents.clean.float()

    def off_by_one(noisy: torch.Tensor, *_: object) -> torch.Tensor:
        noise = (noisy[:, :4] - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        return alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean + latents.hole.float()

    found = schedule.loss(off_by_one, latents, [""] * 6, torch.Generator().manual_seed(0)).item()
    snr = alpha / (1 - alpha)
    weight = 1.0 if snr < denoise.MIN_SNR_GAMMA else (1 + denoise.MIN_SNR_GAMMA) / (1 + snr)
    assert found == pytest.approx(weight * latents.hole.float().mean().item(), rel=1e-3)


def test_other_schedulers_are_refused() -> None:
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler"):
        Schedule(diffusers.FlowMatchEulerDiscreteScheduler())


def test_a_step_depends_on_its_number_and_the_held_out_loss_on_nothing() -> None:
    schedule, latents, captions = Schedule(scheduler("epsilon")), some_latents(), Captions(["a"])
    asked: list[tuple[torch.Tensor, list[str]]] = []

    def predict(noisy: torch.Tensor, times: torch.Tensor, said: list[str]) -> torch.Tensor:
        asked.append((noisy, said))
        return noisy[:, :4]

    device = torch.device("cpu")
    loss = denoise.step_loss(schedule, predict, latents, captions, 4, 0, device)
    assert loss(3) == loss(3) != loss(4)
    assert torch.equal(asked[0][0], asked[1][0])
    assert asked[0][1] == asked[1][1]
    held_out = denoise.held_out_loss(schedule, predict, latents, captions, 4, device)
    assert held_out() == held_out()


def test_latents_are_encoded_once(samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = pipelines.autoencoder_kl(scaling_factor=0.5)
    drawn = Crops(samples, 32, 4)
    found = denoise.cache_latents(vae, drawn, 20, 0, tmp_path / "latents.pt", progress=False)
    assert found.clean.shape == found.masked.shape == (20, 4, 8, 8)
    example = dict(drawn.draw(20, 0))[7]
    assert found.labels[7] == example.label
    assert torch.equal(found.hole[7, 0], torch.from_numpy(example.hole[::4, ::4]))
    with torch.no_grad():
        wanted = vae.encode(denoise.to_pixels(example.image[None])).latent_dist.mode()[0] * 0.5
    assert torch.allclose(found.clean[7].float(), wanted, atol=2e-2)
    monkeypatch.setattr(denoise, "encoded", None)
    again = denoise.cache_latents(vae, drawn, 20, 0, tmp_path / "latents.pt", progress=False)
    assert torch.equal(again.masked, found.masked)
    assert again.labels == found.labels


@pytest.mark.parametrize(("pixels", "most"), [(2**20, 16), (4 * 32**2, 4), (1, 1)])
def test_large_crops_are_encoded_a_few_at_once(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int, most: int
) -> None:
    seen = []

    def encoded(_: object, crops: torch.Tensor) -> torch.Tensor:
        seen.append(len(crops))
        return torch.zeros(len(crops), 4, 8, 8).half()

    monkeypatch.setattr(denoise, "encoded", encoded)
    monkeypatch.setattr(denoise, "_PIXELS_AT_ONCE", pixels)
    denoise.cache_latents(
        pipelines.autoencoder_kl(), Crops(samples, 32, 4), 18, 0, tmp_path / "latents.pt", progress=False
    )
    assert max(seen) == most
    assert sum(seen) == 2 * 18


def test_pixels_there_and_back() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    assert np.array_equal(denoise.to_images(denoise.to_pixels(images)), images)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_prediction_gives_the_clean_latents_back(kind: str) -> None:
    schedule = Schedule(diffusers.DDIMScheduler(prediction_type=kind))
    clean, noise = torch.randn((2, 3, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    alpha = schedule.alphas[torch.tensor([10, 500, 900])][:, None, None, None]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    output = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[kind]
    torch.testing.assert_close(schedule.clean(noisy, output, alpha), clean, rtol=1e-3, atol=1e-3)
