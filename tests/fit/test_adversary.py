"""The denoiser against a critic: it paints in few steps, as the folder says, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pipelines
import pytest
import torch
from seeing import Seeing

from inpaint_transform.fit import Sample, adversary, fit, sketch
from inpaint_transform.fit.architecture import FEW_STEPS
from inpaint_transform.fit.denoise import Latents
from inpaint_transform.fit.guesses import GUESSES

SETTINGS: dict[str, Any] = {
    "base": "none",
    "architecture": "minute",
    "crops": 32,
    "batch": 4,
    "every": 5,
    "steps": 10,
    "steps_of_autoencoder": 4,
    "edits": 0,
}


@pytest.fixture(autouse=True, scope="module")
def sketched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch, "STEPS", 10)
        # Half of the steps with a critic.
        patch.setattr(adversary, "ALONE", 4)
        yield


def weights(folder: Path, part: str) -> dict[str, torch.Tensor]:
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder)
    found: dict[str, torch.Tensor] = getattr(pipeline, part).state_dict()
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def plain(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "model"
    fit(samples, out=out, **SETTINGS, steps_of_decoder=0)
    return out


@pytest.fixture(scope="module")
def fitted(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "model"
    fit(samples, out=out, **SETTINGS, steps_of_decoder=2, steps_of_adversary=8, features=Seeing())
    return out


def test_the_folder_and_its_card_paint_in_few_steps(plain: Path, fitted: Path, samples: list[Sample]) -> None:
    pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(fitted)
    assert type(pipeline.scheduler) is diffusers.LCMScheduler
    assert "steps=3, guidance_scale=1)" in (fitted / "README.md").read_text("utf-8")
    assert "steps=10, guidance_scale=2)" in (plain / "README.md").read_text("utf-8")
    # What changes is the denoiser; the decoder learns afterwards.
    assert not same(weights(fitted, "unet"), weights(plain, "unet"))
    assert not same(weights(fitted, "vae"), weights(plain, "vae"))
    assert same(weights(fitted, "text_encoder"), weights(plain, "text_encoder"))


def test_who_may_read_the_card_may_load_the_weights(fitted: Path) -> None:
    found = [path.stat().st_mode for path in fitted.rglob("*.safetensors")]
    assert len(found) == 3
    assert {*found} == {(fitted / "README.md").stat().st_mode}


def test_a_broken_run_goes_on_to_the_same_weights(fitted: Path, samples: list[Sample], folder: Path) -> None:
    class BreakError(Exception):
        pass

    class Failing(Seeing):
        left = 6

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            self.left -= 1
            if not self.left:
                raise BreakError
            return super().forward(pixels)

    settings = {**SETTINGS, "out": folder, "steps_of_decoder": 2, "steps_of_adversary": 8}
    with pytest.raises(BreakError):
        fit(samples, **settings, features=Failing())
    assert (folder / "training" / "adversary-10.pt").is_file()
    card = fit(samples, **settings, features=Seeing())
    assert card["training"]["adversary"]["steps"] == 8
    assert same(weights(folder, "unet"), weights(fitted, "unet"))


def test_who_goes_on_from_it_takes_noise_away_again(fitted: Path, samples: list[Sample], folder: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "architecture"}
    settings |= {"base": str(fitted), "steps_of_autoencoder": 0, "steps_of_decoder": 0}
    card = fit(samples, out=folder / "further", **settings)
    assert card["paints"] == {"steps": 10, "guidance_scale": 2.0}
    pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(folder / "further")
    assert type(pipeline.scheduler) is diffusers.DDIMScheduler
    before = diffusers.StableDiffusionInpaintPipeline.from_pretrained(fitted).scheduler
    assert torch.equal(pipeline.scheduler.alphas_cumprod, before.alphas_cumprod)
    kept = fit(samples, out=folder / "decoder", **{**settings, "steps": 0, "steps_of_decoder": 2})
    assert kept["paints"] == {"steps": 3, "guidance_scale": 1.0}


def test_its_autoencoder_may_learn_on_while_it_keeps_guessing(
    fitted: Path, samples: list[Sample], folder: Path
) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "architecture"}
    settings |= {"base": str(fitted), "steps": 0, "steps_of_adversary": 6, "steps_of_decoder": 0}
    card = fit(samples, out=folder, **settings, features=Seeing())
    assert card["paints"] == {"steps": 3, "guidance_scale": 1.0}
    assert {name: stage["steps"] for name, stage in card["training"].items()} == {"autoencoder": 4, "adversary": 6}


def test_what_is_missing_is_said(samples: list[Sample], folder: Path) -> None:
    with pytest.raises(ValueError, match=r"steps_of_adversary=8: give features too"):
        fit(samples, out=folder, **SETTINGS, steps_of_adversary=8)
    with pytest.raises(ValueError, match=r"features: nothing looks through them"):
        fit(samples, out=folder, **SETTINGS, steps_of_decoder=0, features=Seeing())


def test_a_lora_has_no_critic(samples: list[Sample], folder: Path, tmp_path: Path) -> None:
    base = str(pipelines.save_sd_inpaint(tmp_path / "base"))
    with pytest.raises(ValueError, match=r"steps_of_adversary=8: a LoRA has none; use 0"):
        fit(samples, base=base, out=folder, steps_of_adversary=8, features=Seeing())
    with pytest.raises(ValueError, match=r"features: nothing looks through them in a LoRA's training; give none"):
        fit(samples, base=base, out=folder, features=Seeing())


def test_guesses_from_any_noise_have_to_convince_the_critic_alone() -> None:
    scheduler = diffusers.LCMScheduler(original_inference_steps=50)
    scheduler.set_timesteps(FEW_STEPS)
    asked: list[torch.Tensor] = []

    def predict(noisy: torch.Tensor, times: torch.Tensor, _captions: list[str]) -> torch.Tensor:
        asked.append(times)
        return torch.zeros_like(noisy[:, :4])

    rows = Latents(torch.zeros(16, 4, 8, 8), torch.zeros(16, 4, 8, 8), torch.ones(16, 1, 8, 8), ["cone"] * 16)
    painter = adversary._Painter(predict, scheduler)
    painted, counts = painter.paint(rows, ["a cone"] * 16, torch.Generator().manual_seed(0))
    assert painted.shape == rows.clean.shape
    # The nearest of eight is looked for where it counts, and nowhere else.
    assert len(asked[0]) == 4 * GUESSES
    from_noise = asked[-1] == scheduler.timesteps[0]
    assert from_noise.tolist() == [True] * 8 + [False] * 8
    assert (counts.flatten()[:4] > 0).all()
    assert (counts.flatten()[4:8] == 0).all()
