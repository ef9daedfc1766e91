"""Growth: twice the working size, the same autoencoder, and a denoiser that keeps what it has learnt in its depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from test_full import NOTHING

from inpaint_transform.fit import Sample, architecture, fit, full
from inpaint_transform.fit.bases import CARD
from inpaint_transform.fit.growth import grow

# Wide enough for half of it to be normalised in groups, unlike "minute".
SMALL = {"size": 32, "autoencoder": (16, 24), "denoiser": (32, 48), "text": 16}


@pytest.fixture(scope="module")
def pipeline() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architecture.ARCHITECTURES, "small", SMALL)
        return architecture.build("small", ["a disc"], 0)


@pytest.fixture(scope="module")
def grown(pipeline: Any) -> Any:
    return grow(pipeline, 0)


def test_the_depth_of_the_denoiser_is_the_old_one(pipeline: Any, grown: Any) -> None:
    """A block by its place seen from the middle."""
    pairs = [
        (pipeline.unet.down_blocks[1], grown.unet.down_blocks[2]),
        (pipeline.unet.mid_block, grown.unet.mid_block),
        (pipeline.unet.up_blocks[0], grown.unet.up_blocks[0]),
    ]
    for old, new in pairs:
        assert sum(value.numel() for value in old.parameters())
        for (name, value), (other, there) in zip(old.named_parameters(), new.named_parameters(), strict=True):
            assert name == other
            assert torch.equal(value, there), name


def test_it_sees_as_many_cells_there_as_before(pipeline: Any, grown: Any) -> None:
    sides: list[int] = []
    for one, cells in ((pipeline.unet, 16), (grown.unet, 32)):
        hook = one.mid_block.register_forward_hook(lambda *call: sides.append(call[2].shape[-1]))
        words = torch.zeros(1, 4, 16)
        with torch.no_grad():
            assert one(torch.zeros(1, 9, cells, cells), 1, words).sample.shape == (1, 4, cells, cells)
        hook.remove()
    assert sides == [8, 8]


def test_all_else_is_shared_and_it_paints_at_twice_the_size(pipeline: Any, grown: Any) -> None:
    assert grown.vae is pipeline.vae
    assert grown.text_encoder is pipeline.text_encoder
    assert grown.unet.config.sample_size == 2 * pipeline.unet.config.sample_size
    grey, hole = torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)
    image = grown("a disc", grey, hole, height=64, width=64, num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 64, 64, 3)
    assert np.isfinite(image).all()


def test_the_same_seed_gives_the_same_weights(pipeline: Any, grown: Any) -> None:
    again, other = (grow(pipeline, seed).unet.state_dict() for seed in (0, 1))
    assert all(torch.equal(value, again[name]) for name, value in grown.unet.state_dict().items())
    assert not torch.equal(again["conv_in.weight"], other["conv_in.weight"])


def test_a_fit_that_grows(samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert len(new.unet.config.block_out_channels) == len(old.unet.config.block_out_channels) + 1
    # Two steps change little: it went on from the old one.
    before, after = (one.state_dict()["mid_block.resnets.0.conv1.weight"] for one in (old.unet, new.unet))
    assert not torch.equal(before, after)
    assert (before - after).abs().mean() < 0.1 * before.abs().mean()


@pytest.mark.parametrize("base", ["none", "sd"])
def test_what_does_not_grow(samples: list[Sample], tmp_path: Path, base: str) -> None:
    import pipelines

    name = base if base == "none" else str(pipelines.save_sd_inpaint(tmp_path / base))
    with pytest.raises(ValueError, match="grow=True: base=.* does not grow"):
        fit(samples, base=name, out=tmp_path / "out", grow=True)
