"""All weights of a small model: fitted from nothing, it is a folder that diffusers and the transform load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.fit import Sample, fit, full
from inpaint_transform.fit.captions import TEMPLATES, Captions
from inpaint_transform.fit.denoise import cache_latents
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.sharpening import Painted, coarse_pictures
from inpaint_transform.fit.vocabulary import new_words
from inpaint_transform.serving.registry import connect

NOTHING: dict[str, Any] = {
    "base": "none",
    "architecture": "minute",
    "crops": 32,
    "batch": 4,
    "every": 5,
    "steps_of_autoencoder": 4,
    "steps_of_decoder": 2,
    "edits": 0,
}


@pytest.fixture(scope="module")
def fitted(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "model"
    fit(samples, out=out, steps=20, **NOTHING)
    return out


def test_the_loss_falls(samples: list[Sample], fitted: Path) -> None:
    card = fit(samples, out=fitted, steps=20, **NOTHING)
    losses = [loss for _, loss in card["training"]["denoiser"]["held_out"]]
    assert losses[-1] < losses[0]


def test_diffusers_loads_it(fitted: Path) -> None:
    pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(fitted)
    assert type(pipeline) is diffusers.StableDiffusionInpaintPipeline
    assert new_words(pipeline.tokenizer, ["a photo of a disc", "square", "background"]) == []


def test_it_paints(fitted: Path) -> None:
    inpainter = connect(ModelSpec(str(fitted), steps=2, guidance_scale=2.0, serving="local"))
    assert inpainter.size == 32
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    grey = np.full((32, 32, 3), 120, np.uint8)
    disc, square = inpainter.paint([InpaintRequest(grey, hole, word) for word in ("a disc", "a square")])
    assert disc.image is not None
    assert square.image is not None
    assert (disc.image != square.image).any()
    inpainter.close()


def test_a_fitted_model_learns_further_words(samples: list[Sample], fitted: Path, folder: Path) -> None:
    renamed = [Sample(one.image, one.boxes, ("coin", "square")) for one in samples]
    settings = {**NOTHING, "base": str(fitted)}
    del settings["architecture"]
    card = fit(renamed, out=folder, steps=2, **settings)
    assert card["weights"] == "all"
    assert any("does not know the words coin" in sentence for sentence in card["warnings"])
    old, new = (
        diffusers.StableDiffusionInpaintPipeline.from_pretrained(path).tokenizer.get_vocab()
        for path in (fitted, folder)
    )
    assert old.items() <= new.items()
    assert "coin</w>" in new


def test_the_card_tells_of_a_decoder_only_where_it_was_trained(samples: list[Sample], folder: Path) -> None:
    stages = [
        set(fit(samples, out=folder, steps=2, **{**NOTHING, "steps_of_decoder": steps})["training"]) for steps in (2, 0)
    ]
    assert stages == [{"autoencoder", "denoiser", "decoder"}, {"autoencoder", "denoiser"}]


def test_an_autoencoder_that_is_not_trained_stays_as_it_is(samples: list[Sample], fitted: Path, folder: Path) -> None:
    settings = {**NOTHING, "base": str(fitted), "steps_of_autoencoder": 0, "steps_of_decoder": 0}
    del settings["architecture"]
    fit(samples, out=folder, steps=2, **settings)
    before, after = (diffusers.AutoencoderKL.from_pretrained(path / "vae").state_dict() for path in (fitted, folder))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_weights_are_halves(fitted: Path) -> None:
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(fitted, dtype="auto")
    assert pipeline.unet.dtype in (torch.float16, torch.float32)
    assert (fitted / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size < 2.2 * sum(
        value.numel() for value in pipeline.unet.parameters()
    )


def test_what_it_paints_for_its_decoder_is_what_a_decoder_gets_and_is_painted_once(
    samples: list[Sample], fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(fitted)
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.float()
    pipeline.set_progress_bar_config(disable=True)
    captions = Captions(["disc", "square"], TEMPLATES, None, None)
    latents = cache_latents(pipeline.vae, Crops(samples, 32, 2), 20, 0, tmp_path / "latents.pt", False)

    def painted(name: str) -> Painted:
        return full._painted(pipeline, 32, latents, captions, 0, tmp_path / name, False)

    first = painted("painted.pt")
    assert first.latents.shape == (20, 4, 16, 16)
    assert torch.equal(first.coarse, coarse_pictures(pipeline.vae, first.latents))
    assert first.latents.std() > 0
    assert torch.equal(first.holes, latents.hole.float())
    pipeline.unet.load_state_dict({name: 0 * value for name, value in pipeline.unet.state_dict().items()})
    # Whoever painted it may have painted more than is painted today.
    monkeypatch.setattr(full, "MAX_PAINTED", 8)
    again = painted("painted.pt")
    assert torch.equal(again.latents, first.latents)
    assert torch.equal(again.holes, first.holes)
    monkeypatch.undo()
    blank = painted("anew.pt").latents
    assert not torch.equal(blank, first.latents)
    # A pipeline's latents are the autoencoder's times this.
    pipeline.vae.register_to_config(scaling_factor=0.5)
    assert torch.equal(painted("scaled.pt").latents, 2 * blank)
