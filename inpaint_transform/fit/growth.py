"""Growth: a small model at twice its working size, with the latents, and so the denoiser, that it had."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn

from inpaint_transform.fit.architecture import pipeline_of

# Red, green and blue of four diagonal neighbours: what the new first convolution hands on.
MIN_WIDTH = 12
# Seen from a pixel of the half-size picture: the pixels around it at full size, and where each is found after a
# convolution of stride 2 whose input was moved by one pixel either way: (offset): (tap, move). Zero padding at the
# borders of a picture then is what it was.
_FOUND_AT = {-1: (0, -1), 0: (1, -1), 1: (0, 1), 2: (1, 1), 3: (2, 1)}
# How much each of these counts for the taps -1, 0 and 1 of a convolution of the half-size picture. The pixel at -2, out
# of reach, is taken to be as the one at -1.
_SHARES = {-1: {-1: 1.0}, 0: {0: 0.5, 1: 0.5}, 1: {2: 0.5, 3: 0.5}}


def grow(pipeline: Any, seed: int) -> Any:
    """A pipeline whose autoencoder has one level more, at twice the size; all other parts are the same ones.

    Its encoder gives the latents that the old one gave for the picture at half the size, up to detail that half the
    size does not show, so a denoiser goes on as if nothing had happened. Its decoder begins with the old one's picture,
    enlarged, and is to be trained.

    Args:
        pipeline: A small Stable Diffusion inpainting pipeline.
        seed: Of the weights that have no effect yet.

    Raises:
        ValueError: The first level of its autoencoder is too narrow.
    """
    old = pipeline.vae
    width = old.config.block_out_channels[0]
    if width < MIN_WIDTH:
        raise ValueError(
            f"grow: the autoencoder's first level has {width} channels; it takes {MIN_WIDTH} to hand on a picture"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = AutoencoderKL.from_config(
            {
                **old.config,
                "block_out_channels": (width, *old.config.block_out_channels),
                "down_block_types": ("DownEncoderBlock2D", *old.config.down_block_types),
                "up_block_types": (*old.config.up_block_types, "UpDecoderBlock2D"),
                "sample_size": 2 * old.config.sample_size,
            }
        )
    weights = {_moved(name): value.float() for name, value in old.state_dict().items()}
    del weights["encoder.conv_in.weight"], weights["encoder.conv_in.bias"]
    vae.load_state_dict({**vae.state_dict(), **weights})
    with torch.no_grad():
        _halve(vae.encoder, old.encoder.conv_in)
        _enlarge(vae.decoder)
    vae.to(old.device, old.dtype)
    return pipeline_of(vae, pipeline.text_encoder, pipeline.tokenizer, pipeline.unet, pipeline.scheduler)


def _moved(name: str) -> str:
    """The name of a weight of the old autoencoder in the new one, whose encoder has a block before the others."""
    start = "encoder.down_blocks."
    if not name.startswith(start):
        return name
    number, rest = name.removeprefix(start).split(".", 1)
    return f"{start}{int(number) + 1}.{rest}"


def _halve(encoder: Any, old: nn.Conv2d) -> None:
    """Let the first block average four pixels to one and do what the old first convolution did."""
    first, block = encoder.conv_in, encoder.down_blocks[0]
    for resnet in block.resnets:
        _silence(resnet)
    first.weight[:MIN_WIDTH], first.bias[:MIN_WIDTH] = 0, 0
    last = block.downsamplers[0].conv
    last.weight.zero_()
    last.bias.copy_(old.bias)
    for y, (tap_y, move_y) in _FOUND_AT.items():
        for x, (tap_x, move_x) in _FOUND_AT.items():
            start = 3 * (move_y + 1 + (move_x + 1) // 2)
            for color in range(3):
                first.weight[start + color, color, 1 + move_y, 1 + move_x] = 1
            last.weight[:, start : start + 3, tap_y, tap_x] = sum(
                old.weight[:, :, 1 + row, 1 + column].float() * rows.get(y, 0.0) * columns.get(x, 0.0)
                for row, rows in _SHARES.items()
                for column, columns in _SHARES.items()
            )


def _enlarge(decoder: Any) -> None:
    """Let the last block hand on what comes in at twice the size."""
    nn.init.dirac_(decoder.up_blocks[-2].upsamplers[0].conv.weight)
    nn.init.zeros_(decoder.up_blocks[-2].upsamplers[0].conv.bias)
    for resnet in decoder.up_blocks[-1].resnets:
        _silence(resnet)


def _silence(resnet: Any) -> None:
    """Let a residual block hand on what comes in, until it has learnt something."""
    nn.init.zeros_(resnet.conv2.weight)
    nn.init.zeros_(resnet.conv2.bias)
