"""Small models from nothing: the parts of a Stable Diffusion inpainting pipeline in miniature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from inpaint_transform.fit.vocabulary import new_tokenizer, with_words

# Side of the working crop in pixels; widths of the autoencoder at 1, 1/2, 1/4 and 1/8 of the picture, of the denoiser
# at 1, 1/2 and 1/4 of the latent, and of the text encoder. With sixteen latent cells a side a denoising step costs the
# same whatever the size of the crop. Ten guided steps of "tiny" take 15 GFLOP, its autoencoder 6.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "tiny": {"size": 128, "autoencoder": (24, 48, 96, 128), "denoiser": (64, 128, 160), "text": 64},
    # For tests: learns colours within seconds.
    "minute": {"size": 32, "autoencoder": (8, 16), "denoiser": (16, 32), "text": 16},
}
LATENT_CHANNELS = 4


def build(name: str, texts: Iterable[str], seed: int) -> Any:
    """A pipeline with random weights, and a tokenizer that knows the words of some texts.

    Raises:
        ValueError: There is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture={name!r}: use one of {', '.join(ARCHITECTURES)}")
    shape = ARCHITECTURES[name]
    tokenizer = new_tokenizer(texts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = _autoencoder(shape["autoencoder"], shape["size"])
        unet = _denoiser(shape["denoiser"], shape["text"], shape["size"] >> len(shape["autoencoder"]) - 1)
        text_encoder = _text_encoder(tokenizer, shape["text"])
    return pipeline_of(vae, text_encoder, tokenizer, unet, _scheduler())


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


def learn_words(pipeline: Any, texts: Iterable[str], seed: int) -> None:
    """Let the tokenizer of a pipeline know the words of some texts, and its text encoder have a row for each."""
    pipeline.tokenizer = with_words(pipeline.tokenizer, texts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
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
    """Takes noise, hole and masked picture: 4 + 1 + 4 channels; the words come in below the first level."""
    below = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=cells,
        in_channels=2 * LATENT_CHANNELS + 1,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * below),
        up_block_types=(*("CrossAttnUpBlock2D",) * below, "UpBlock2D"),
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


def _scheduler() -> DDIMScheduler:
    """Predicts v (Salimans and Ho, 2202.00512), which stays defined where nothing but noise is left."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type="v_prediction",
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
