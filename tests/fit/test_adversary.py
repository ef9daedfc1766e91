"""The denoiser against a critic: it paints in few steps, as the folder says, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pipelines
import pytest
import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.fit import Sample, adversary, architecture, fit
from inpaint_transform.fit.denoise import Latents

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


class Seeing(nn.Module):
    """Three scales of random features, which stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.levels = nn.ModuleList(nn.Conv2d(inner, 8, 3, 2, 1) for inner in (3, 8, 8))
        for value in self.parameters():
            nn.init.normal_(value, std=0.3, generator=generator)
        self.requires_grad_(False)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for level in self.levels:
            pixels = functional.silu(level(pixels))
            found.append(pixels)
        return found


@pytest.fixture(autouse=True, scope="module")
def sketched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversary, "SKETCH_STEPS", 10)
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
    assert "steps=4, guidance_scale=1)" in (fitted / "README.md").read_text("utf-8")
    assert "steps=10, guidance_scale=2)" in (plain / "README.md").read_text("utf-8")
    # What changes is the denoiser; the decoder learns afterwards.
    assert not same(weights(fitted, "unet"), weights(plain, "unet"))
    assert not same(weights(fitted, "vae"), weights(plain, "vae"))
    assert same(weights(fitted, "text_encoder"), weights(plain, "text_encoder"))


def test_a_broken_run_goes_on_to_the_same_weights(fitted: Path, samples: list[Sample], folder: Path) -> None:
    class BreakError(Exception):
        pass

    class Failing(Seeing):
        left = 14

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
    assert kept["paints"] == {"steps": 4, "guidance_scale": 1.0}


def test_the_critic_learns_to_tell_at_every_scale() -> None:
    torch.manual_seed(0)
    critic = adversary.Critic(Seeing(), 2, torch.device("cpu"))
    pixels, codes = torch.rand((2, 3, 32, 32)), torch.tensor([0, 1])
    bright, dark = critic.see(pixels * 0.2 + 0.7), critic.see(pixels * 0.2 - 0.7)
    optimizer = torch.optim.Adam(critic.heads.parameters(), 1e-2)
    before = [value.clone() for value in (*critic.mixed.parameters(), *critic.handed_on.parameters())]
    for _ in range(60):
        optimizer.zero_grad()
        adversary._hinge(critic(bright, codes), critic(dark, codes)).backward()
        optimizer.step()
    real, unreal = critic(bright, codes), critic(dark, codes)
    assert [answer.shape for answer in real] == [(2, 4, 4)] * 3
    for one, other in zip(real, unreal, strict=True):
        assert one.mean() > 0 > other.mean()
    after = (*critic.mixed.parameters(), *critic.handed_on.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_the_same_picture_may_be_real_for_one_class_alone() -> None:
    torch.manual_seed(0)
    critic = adversary.Critic(Seeing(), 2, torch.device("cpu"))
    seen = critic.see(torch.rand((1, 3, 32, 32)))
    right, wrong = torch.tensor([0]), torch.tensor([1])
    optimizer = torch.optim.Adam(critic.heads.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        adversary._hinge(critic(seen, right), critic(seen, wrong)).backward()
        optimizer.step()
    for one, other in zip(critic(seen, right), critic(seen, wrong), strict=True):
        assert one.mean() > other.mean() + 0.1


def test_the_critic_looks_at_the_hole() -> None:
    hole = torch.zeros((8, 1, 16, 16))
    hole[:, :, 9:13, 2:5] = 1
    picture = functional.interpolate(hole, size=(64, 64)).expand(-1, 3, -1, -1)
    look = adversary._look(hole, torch.Generator().manual_seed(3))
    seen = look(picture)
    assert seen.shape == (8, 3, adversary.SEEN, adversary.SEEN)
    # Light moves all of it: what is bright against the rest of the row's picture is the hole.
    lit = seen.mean(dim=1) > seen.mean(dim=(1, 2, 3))[:, None, None]
    share = lit.float().mean(dim=(1, 2))
    assert (share > 0.25).all()
    assert (share < 0.75).all()
    assert torch.equal(seen, look(picture))
    assert not torch.equal(seen[0], seen[1])


def test_the_sketch_looks_like_the_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(adversary, "SKETCH_STEPS", 150)
    vae = architecture.build("minute", ["a disc"], 0).vae
    given = torch.randn((64, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    latents = Latents(given.half(), given.half(), torch.ones((64, 1, 16, 16), dtype=torch.bool), [None] * 64)
    sketch = adversary._sketch(vae, latents, 0, tmp_path / "sketch.pt")
    with torch.no_grad():
        wanted = functional.avg_pool2d(vae.decode(given).sample, 2)
        error = (sketch(given) - wanted).square().mean() / wanted.var()
        assert error < 0.5
        again = adversary._sketch(vae, latents, 0, tmp_path / "sketch.pt")
        assert torch.equal(sketch(given), again(given))


def test_what_is_missing_is_said(samples: list[Sample], folder: Path) -> None:
    with pytest.raises(ValueError, match=r"steps_of_adversary=8: give features too"):
        fit(samples, out=folder, **SETTINGS, steps_of_adversary=8)
    with pytest.raises(ValueError, match=r"features: nothing looks through them"):
        fit(samples, out=folder, **SETTINGS, features=Seeing())


def test_a_lora_has_no_critic(samples: list[Sample], folder: Path, tmp_path: Path) -> None:
    base = str(pipelines.save_sd_inpaint(tmp_path / "base"))
    with pytest.raises(ValueError, match=r"steps_of_adversary=8: a LoRA has none; use 0"):
        fit(samples, base=base, out=folder, steps_of_adversary=8, features=Seeing())
