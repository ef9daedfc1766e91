"""Small models: their size, what they take, and the words they learn."""

from __future__ import annotations

import pytest
import torch

from inpaint_transform.fit import architecture


def test_the_embedded_one_is_small_and_sees_thirty_two_cells() -> None:
    pipeline = architecture.build("tiny", ["a cone"], 0)
    models = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    parameters = sum(value.numel() for model in models for value in model.parameters())
    assert 2 * parameters < 25e6  # bytes of float16
    assert pipeline.unet.config.in_channels == 9
    assert pipeline.unet.config.sample_size == 32
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


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="architecture='huge': use one of tiny"):
        architecture.build("huge", [], 0)
