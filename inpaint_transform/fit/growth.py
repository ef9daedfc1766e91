"""Growth: a small model at twice its working size, whose denoiser has one level more."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel

from inpaint_transform.fit.architecture import new_scheduler, pipeline_of

BLOCKS = "down_blocks."


def grow(pipeline: Any, seed: int) -> Any:
    """A pipeline for twice the working size that knows, in the depth of its denoiser, what the small one has learnt.

    The autoencoder stays: it works on pictures of any size. The denoiser gets a level of half the width before all
    others, so that these see as many cells as they did; of the other weights it has those that fit, and is to be
    trained.

    Args:
        pipeline: A small Stable Diffusion inpainting pipeline.
        seed: Of the weights that are new.
    """
    old = pipeline.unet
    widths, time = old.config.block_out_channels, old.time_embedding.linear_2.out_features
    # What diffusers notes for itself there would undo some of the changes.
    config = {name: value for name, value in old.config.items() if not name.startswith("_")}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel.from_config(
            {
                **config,
                "sample_size": 2 * old.config.sample_size,
                "block_out_channels": (widths[0] // 2, *widths),
                "down_block_types": ("DownBlock2D", *old.config.down_block_types),
                "up_block_types": (*old.config.up_block_types, "UpBlock2D"),
                "time_embedding_dim": time,
            }
        )
    weights = unet.state_dict()
    learnt = {_moved(name): value.float() for name, value in old.state_dict().items()}
    unet.load_state_dict(
        {
            name: learnt[name] if name in learnt and learnt[name].shape == new.shape else new
            for name, new in weights.items()
        }
    )
    unet.to(old.device)
    return pipeline_of(pipeline.vae, pipeline.text_encoder, pipeline.tokenizer, unet, new_scheduler())


def _moved(name: str) -> str:
    """The name of a weight of the old denoiser in the new one, which has a level before the others."""
    if not name.startswith(BLOCKS):
        return name
    number, rest = name.removeprefix(BLOCKS).split(".", 1)
    return f"{BLOCKS}{int(number) + 1}.{rest}"
