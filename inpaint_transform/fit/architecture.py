"""Small models from nothing: the parts of a Stable Diffusion inpainting pipeline in miniature."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.vocabulary import new_tokenizer, with_words

# Side of the working crop in pixels; widths of the autoencoder at 1, 1/2 and 1/4 of the picture, of the denoiser at 1,
# 1/2 and 1/4 of the latent, and of the text encoder. A cell of four pixels: with the four channels that a pipeline of
# this class takes, one of eight that is learnt from nothing does not hold an outline, and cones come back bent. See
# ``grow`` for more pixels.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "tiny": {"size": 64, "autoencoder": (32, 64, 96), "denoiser": (64, 128, 160), "text": 64},
    # For tests: learns colours within seconds.
    "minute": {"size": 32, "autoencoder": (8, 16), "denoiser": (16, 32), "text": 16},
}
LATENT_CHANNELS = 4
# Side of the latents for which Stable Diffusion's betas suit such small models.
USUAL_CELLS = 16
# How a small model paints best: one that only takes noise away, and one that has met a critic (``adversary``).
STEPS, GUIDANCE_SCALE = 10, 2.0
FEW_STEPS = 3


def build(name: str, texts: Iterable[str], seed: int) -> Any:
    """A pipeline with random weights, and a tokenizer that knows the words of some texts.

    Raises:
        ValueError: There is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture={name!r}: use one of {', '.join(ARCHITECTURES)}")
    shape = ARCHITECTURES[name]
    tokenizer = new_tokenizer(texts)
    with seeded(seed):
        vae = _autoencoder(shape["autoencoder"], shape["size"])
        cells = shape["size"] >> len(shape["autoencoder"]) - 1
        unet = _denoiser(shape["denoiser"], shape["text"], cells)
        text_encoder = _text_encoder(tokenizer, shape["text"])
    return pipeline_of(vae, text_encoder, tokenizer, unet, new_scheduler(cells))


def pipeline_of(vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> Any:
    """The parts as a pipeline, silent and without a safety checker."""
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def resize(pipeline: Any, size: int) -> None:
    """Let a small pipeline work at another size; its denoiser, which sees other cells then, is to be trained.

    Args:
        pipeline: As ``build`` makes it.
        size: Side of the working crop in pixels.
    """
    cells = size // 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    pipeline.vae.register_to_config(sample_size=size)
    pipeline.unet.register_to_config(sample_size=cells)
    guesses = isinstance(pipeline.scheduler, LCMScheduler)
    pipeline.scheduler = few_steps(new_scheduler(cells)) if guesses else new_scheduler(cells)


def levels_above(own: int, size: int) -> int:
    """How often a working size is to be doubled to get another one; 0 where that is not how they differ."""
    levels = (size // own).bit_length() - 1
    return levels if levels > 0 and own << levels == size else 0


def grow(pipeline: Any, levels: int, seed: int) -> Any:
    """A small pipeline at twice its working size a level, with the cells that its denoiser knows.

    The autoencoder gets levels where pictures are largest and keeps its weights below them. Its decoder gives at first
    what it gave before, enlarged, and its encoder nearly the old latents of a picture that is made smaller.

    Args:
        pipeline: As ``build`` makes it; it keeps its autoencoder, and shares everything else.
        levels: How many.
        seed: Decides on the new weights.
    """
    old = pipeline.vae
    widths = tuple(old.config.block_out_channels)
    with seeded(seed):
        vae = AutoencoderKL.from_config(
            {
                **old.config,
                "block_out_channels": widths[:1] * levels + widths,
                "down_block_types": ("DownEncoderBlock2D",) * (levels + len(widths)),
                "up_block_types": ("UpDecoderBlock2D",) * (levels + len(widths)),
                "sample_size": old.config.sample_size << levels,
            }
        )
    # Blocks of the encoder count from the picture down, those of the decoder from the latents up.
    moved = {
        re.sub(r"(?<=encoder\.down_blocks\.)\d+", lambda number: str(int(number[0]) + levels), name): value
        for name, value in old.state_dict().items()
    }
    vae.load_state_dict(moved, strict=False)
    # What is new hands on what it gets: enlarged in the decoder, the mean of four pixels in the encoder.
    for block in vae.encoder.down_blocks[:levels]:
        convolution = block.downsamplers[0].conv
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
        for channel in range(widths[0]):
            nn.init.constant_(convolution.weight[channel, channel, :2, :2], 0.25)
    for block in vae.decoder.up_blocks[len(widths) - 1 : -1]:
        nn.init.dirac_(block.upsamplers[0].conv.weight)
        nn.init.zeros_(block.upsamplers[0].conv.bias)
    for block in (*vae.decoder.up_blocks[len(widths) :], *vae.encoder.down_blocks[:levels]):
        for resnet in block.resnets:
            nn.init.zeros_(resnet.conv2.weight)
            nn.init.zeros_(resnet.conv2.bias)
    return pipeline_of(vae.to(old.device), pipeline.text_encoder, pipeline.tokenizer, pipeline.unet, pipeline.scheduler)


def learn_words(pipeline: Any, texts: Iterable[str], seed: int) -> None:
    """Let the tokenizer of a pipeline know the words of some texts, and its text encoder have a row for each."""
    pipeline.tokenizer = with_words(pipeline.tokenizer, texts)
    with seeded(seed):
        pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer), mean_resizing=False)


def _autoencoder(widths: tuple[int, ...], size: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=size,
        scaling_factor=1.0,
    )


def _denoiser(widths: tuple[int, ...], text: int, cells: int) -> UNet2DConditionModel:
    """Takes noise, hole and masked picture: 4 + 1 + 4 channels; the words come in at the two lowest levels."""
    # Attention costs most where cells are many, and outlines are decided where they are few.
    below = min(2, len(widths) - 1)
    above = len(widths) - below
    return UNet2DConditionModel(
        sample_size=cells,
        in_channels=2 * LATENT_CHANNELS + 1,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        down_block_types=(("DownBlock2D",) * above + ("CrossAttnDownBlock2D",) * below),
        up_block_types=(("CrossAttnUpBlock2D",) * below + ("UpBlock2D",) * above),
        layers_per_block=1,
        cross_attention_dim=text,
        attention_head_dim=8,
        norm_num_groups=16,
    )


def _text_encoder(tokenizer: Any, width: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def few_steps(scheduler: Any) -> LCMScheduler:
    """The scheduler of a denoiser that guesses whole objects: ``FEW_STEPS`` steps, each from the guess before."""
    return LCMScheduler.from_config(scheduler.config, original_inference_steps=50)


def many_steps(scheduler: Any) -> Any:
    """The scheduler of a denoiser that takes noise away, under the same noise."""
    return DDIMScheduler.from_config(scheduler.config) if isinstance(scheduler, LCMScheduler) else scheduler


def usual(pipeline: Any) -> dict[str, Any]:
    """With which steps and guidance a small pipeline paints best, as fields of a ``ModelSpec``."""
    if isinstance(pipeline.scheduler, LCMScheduler):
        return {"steps": FEW_STEPS, "guidance_scale": 1.0}
    return {"steps": STEPS, "guidance_scale": GUIDANCE_SCALE}


def new_scheduler(cells: int) -> DDIMScheduler:
    """Predicts v (Salimans and Ho, 2202.00512) under Stable Diffusion's betas, moved for the number of cells.

    The more cells an object has, the more noise it shows through. So the ratio of signal to noise falls as the number
    of cells rises (Hoogeboom et al., 2301.11093), and an outline is decided at the same steps at any size.

    Args:
        cells: Side of the latents.
    """
    left = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    ratio = left / (1 - left) * (USUAL_CELLS / cells) ** 2
    left = ratio / (1 + ratio)
    return DDIMScheduler(
        trained_betas=(1 - left / np.array([1.0, *left[:-1]])).tolist(),
        clip_sample=False,
        prediction_type="v_prediction",
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
