"""Growth: at twice the size, latents and so the denoiser are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_full import NOTHING
from torch.nn import functional

from inpaint_transform.fit import Sample, architecture, fit, full
from inpaint_transform.fit.bases import CARD
from inpaint_transform.fit.growth import grow

# Wide enough to grow, unlike "minute".
SMALL = {"size": 32, "autoencoder": (16, 24), "denoiser": (16, 32), "text": 16}


@pytest.fixture(scope="module")
def pipeline() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architecture.ARCHITECTURES, "small", SMALL)
        return architecture.build("small", ["a disc"], 0)


@pytest.fixture(scope="module")
def grown(pipeline: Any) -> Any:
    return grow(pipeline, 0)


@torch.no_grad()
def latents(pipeline: Any, pixels: torch.Tensor) -> torch.Tensor:
    return pipeline.vae.encode(pixels).latent_dist.mode()


def doubled(pixels: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(pixels, scale_factor=2)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 99))
def test_of_an_enlarged_picture_the_latents_are_those_of_the_small_one(
    pipeline: Any, grown: Any, rows: int, columns: int, seed: int
) -> None:
    small = torch.rand(1, 3, 4 * rows, 4 * columns, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assert torch.allclose(latents(grown, doubled(small)), latents(pipeline, small), atol=1e-4)


def test_of_any_other_they_are_nearly_those_of_its_half(pipeline: Any, grown: Any) -> None:
    coarse = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = functional.interpolate(coarse, size=(64, 64), mode="bicubic")
    half = latents(pipeline, functional.avg_pool2d(pixels, 2))
    assert (latents(grown, pixels) - half).abs().mean() < 0.1 * half.std()


def test_its_decoder_begins_with_the_old_one_enlarged(pipeline: Any, grown: Any) -> None:
    seen = []
    hooks = [
        one.vae.decoder.conv_norm_out.register_forward_hook(lambda *call: seen.append(call[2]))
        for one in (pipeline, grown)
    ]
    code = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        small, large = (one.vae.decode(code).sample for one in (pipeline, grown))
    for hook in hooks:
        hook.remove()
    assert large.shape[2:] == (64, 64)
    assert small.shape[2:] == (32, 32)
    assert torch.allclose(seen[1], doubled(seen[0]), atol=1e-4)


def test_all_else_is_shared_and_it_paints_at_twice_the_size(pipeline: Any, grown: Any) -> None:
    assert grown.unet is pipeline.unet
    assert grown.text_encoder is pipeline.text_encoder
    assert grown.vae_scale_factor == 2 * pipeline.vae_scale_factor
    grey, hole = torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)
    image = grown("a disc", grey, hole, height=64, width=64, num_inference_steps=1, output_type="np").images
    assert image.shape == (1, 64, 64, 3)
    assert np.isfinite(image).all()


def test_the_same_seed_gives_the_same_weights(pipeline: Any, grown: Any) -> None:
    again = grow(pipeline, 0).vae.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in grown.vae.state_dict().items())


def test_too_narrow() -> None:
    with pytest.raises(ValueError, match="first level has 8 channels; it takes 12"):
        grow(architecture.build("minute", ["a"], 0), 0)


def test_a_fit_that_grows_keeps_the_encoder(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(architecture.ARCHITECTURES, "small", SMALL)
    monkeypatch.setattr(full, "HELD_OUT_COUNT", 8)
    monkeypatch.setattr(full, "HELD_OUT_PIXELS", 8)
    base, out = tmp_path / "base", tmp_path / "out"
    full.save(architecture.build("small", ["a disc"], 0), base)
    (base / CARD).write_text("{}")
    settings = {**NOTHING, "base": str(base), "grow": True}
    del settings["architecture"]
    card = fit(samples, out=out, steps=2, **settings)
    assert card["size"] == 64
    old, new = (diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder) for folder in (base, out))
    expected = grow(old, 0).vae.state_dict()
    different = {
        name.split(".")[0]
        for name, value in new.vae.state_dict().items()
        if not torch.allclose(value, expected[name], atol=1e-3)
    }
    assert "encoder" not in different
    assert "decoder" in different
    assert any(not torch.equal(a, b) for a, b in zip(old.unet.parameters(), new.unet.parameters(), strict=True))


@pytest.mark.parametrize("base", ["none", "sd"])
def test_what_does_not_grow(samples: list[Sample], tmp_path: Path, base: str) -> None:
    import pipelines

    name = base if base == "none" else str(pipelines.save_sd_inpaint(tmp_path / base))
    with pytest.raises(ValueError, match="grow=True: base=.* does not grow"):
        fit(samples, base=name, out=tmp_path / "out", grow=True)
