"""Small models: their size, what they take, and the words they learn."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from torch.nn import functional

from inpaint_transform.fit import architecture


def test_tiny_is_small_and_sees_sixteen_cells() -> None:
    pipeline = architecture.build("tiny", ["a cone"], 0)
    models = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    parameters = sum(value.numel() for model in models for value in model.parameters())
    assert 2 * parameters < 25e6  # bytes of float16
    assert pipeline.unet.config.in_channels == 9
    assert pipeline.unet.config.sample_size == 16
    assert pipeline.vae_scale_factor * pipeline.unet.config.sample_size == architecture.ARCHITECTURES["tiny"]["size"]


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (architecture.build("minute", ["a"], seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    weight = "conv_in.weight"
    assert torch.equal(first.unet.state_dict()[weight], second.unet.state_dict()[weight])
    assert not torch.equal(first.unet.state_dict()[weight], other.unet.state_dict()[weight])


def test_new_words_leave_what_was_known_as_it_is() -> None:
    pipeline = architecture.build("minute", ["a cone"], 0)

    def hidden(text: str) -> torch.Tensor:
        tokens = pipeline.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            return pipeline.text_encoder(tokens.input_ids).last_hidden_state

    before = hidden("a cone")
    architecture.learn_words(pipeline, ["an arduino"], 0)
    assert torch.equal(hidden("a cone"), before)
    assert hidden("arduino").shape[1] == 3
    assert pipeline.text_encoder.config.vocab_size == len(pipeline.tokenizer)


def test_usual_cells_have_the_usual_noise() -> None:
    usual = diffusers.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    found = architecture.new_scheduler(architecture.USUAL_CELLS)
    assert torch.allclose(found.alphas_cumprod, usual.alphas_cumprod, rtol=1e-3)


@pytest.mark.parametrize("cells", [8, 24, 32])
def test_the_mean_over_a_part_of_the_picture_is_as_noisy_whatever_the_cells(cells: int) -> None:
    usual, found = (
        architecture.new_scheduler(side).alphas_cumprod.double() for side in (architecture.USUAL_CELLS, cells)
    )
    # Of a mean over n cells, the noise's variance is an n-th.
    usual, found = usual / (1 - usual), found / (1 - found) * (cells / architecture.USUAL_CELLS) ** 2
    assert torch.allclose(usual, found, rtol=1e-2)


def test_a_resized_one_paints_at_its_size_with_the_same_weights() -> None:
    pipeline, same = (architecture.build("minute", ["a cone"], 0) for _ in range(2))
    architecture.resize(pipeline, 48)
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 48
    assert torch.equal(pipeline.scheduler.alphas_cumprod, architecture.new_scheduler(24).alphas_cumprod)
    for (name, value), (_, other) in zip(pipeline.unet.named_parameters(), same.unet.named_parameters(), strict=True):
        assert torch.equal(value, other), name
    grey, hole = torch.full((1, 3, 48, 48), 0.5), torch.ones(1, 1, 48, 48)
    image = pipeline("a cone", grey, hole, height=48, width=48, num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 48, 48, 3)
    assert np.isfinite(image).all()


def test_one_that_paints_in_few_steps_does_so_at_any_size() -> None:
    pipeline = architecture.build("minute", ["a cone"], 0)
    pipeline.scheduler = architecture.few_steps(pipeline.scheduler)
    architecture.resize(pipeline, 48)
    assert architecture.usual(pipeline)["steps"] == architecture.FEW_STEPS
    assert torch.equal(pipeline.scheduler.alphas_cumprod, architecture.new_scheduler(24).alphas_cumprod)


@pytest.mark.parametrize("levels", [1, 2])
def test_a_grown_one_draws_what_it_drew_before_but_larger(levels: int) -> None:
    small = architecture.build("minute", ["a cone"], 0)
    grown = architecture.grow(small, levels, 0)
    assert grown.vae_scale_factor == small.vae_scale_factor << levels
    assert grown.unet is small.unet
    seen: list[torch.Tensor] = []
    for pipeline in (small, grown):
        pipeline.vae.decoder.conv_norm_out.register_forward_hook(lambda _, given, __: seen.append(given[0]))
        with torch.no_grad():
            pipeline.vae.decode(torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(functional.interpolate(seen[0], scale_factor=1 << levels), seen[1])
    for block, same in zip(small.vae.encoder.down_blocks, grown.vae.encoder.down_blocks[levels:], strict=True):
        assert all(torch.equal(one, other) for one, other in zip(block.parameters(), same.parameters(), strict=True))
    # In the encoder a picture reaches the old blocks as it would without the new ones, but for finer edges.
    drawn = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    picture = functional.interpolate(drawn, size=(32 << levels,) * 2, mode="bilinear")
    with torch.no_grad():
        new = grown.vae.encode(picture).latent_dist.mode()
        old = small.vae.encode(functional.avg_pool2d(picture, 1 << levels)).latent_dist.mode()
    assert (new - old).abs().mean() < 0.5 * old.std()
    size = grown.unet.config.sample_size * grown.vae_scale_factor
    grey, hole = torch.full((1, 3, size, size), 0.5), torch.ones(1, 1, size, size)
    image = grown("a cone", grey, hole, height=size, width=size, num_inference_steps=2, output_type="np").images
    assert image.shape == (1, size, size, 3)
    assert np.isfinite(image).all()


def test_growing_is_the_same_each_time_and_leaves_the_global_generator_alone() -> None:
    small = architecture.build("minute", ["a cone"], 0)
    state = torch.get_rng_state()
    first, second = (architecture.grow(small, 1, 3).vae.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("own", "size", "levels"), [(64, 128, 1), (64, 256, 2), (96, 192, 1)])
def test_levels_above(own: int, size: int, levels: int) -> None:
    assert architecture.levels_above(own, size) == levels


@pytest.mark.parametrize("size", [32, 64, 96, 127, 160, 192])
def test_other_sizes_are_no_levels_above(size: int) -> None:
    assert architecture.levels_above(64, size) == 0


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="architecture='huge': use one of tiny"):
        architecture.build("huge", [], 0)
