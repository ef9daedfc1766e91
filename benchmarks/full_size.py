"""Stable Diffusion 1.5 and SDXL inpainting at their full size with random weights: right for speed, no use otherwise.

The architectures are those of the published checkpoints, built from their configs, so nothing is downloaded. Each has
a small twin of the same classes, with which the benchmark can be tried on a CPU.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

MAX_TOKENS = 77
# A latent cell in pixels, of the KL autoencoder and of AutoencoderTiny alike.
CELL = 8


@dataclass(frozen=True)
class Architecture:
    """One checkpoint's configs.

    Attributes:
        size: Side of the working crop in pixels.
        small_size: Side of the working crop for the preset that paints small crops.
        unet: Of the 9-channel ``UNet2DConditionModel``.
        vae: Of ``AutoencoderKL``.
        tiny_vae: Of ``AutoencoderTiny``.
        texts: Of the CLIP text encoders, one for Stable Diffusion and two for SDXL.
    """

    size: int
    small_size: int
    unet: dict[str, Any]
    vae: dict[str, Any]
    tiny_vae: dict[str, Any]
    texts: tuple[dict[str, Any], ...]

    @property
    def xl(self) -> bool:
        """Whether this is SDXL's pipeline."""
        return len(self.texts) == 2


_VIT_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_BIG_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
_KL = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
_SD15_UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 1280,
}
# sdxl-vae-fp16-fix, which the preset takes, needs no float32.
_SDXL_VAE = {**_KL, "force_upcast": False, "scaling_factor": 0.13025, "sample_size": 1024}

FULL = {
    "sd15": Architecture(512, 256, _SD15_UNET, _KL, {}, ({**_VIT_L, "hidden_act": "quick_gelu"},)),
    "sdxl": Architecture(
        1024,
        256,
        _SDXL_UNET,
        _SDXL_VAE,
        {"scaling_factor": 1.0},
        ({**_VIT_L, "hidden_act": "quick_gelu"}, {**_BIG_G, "hidden_act": "gelu", "projection_dim": 1280}),
    ),
}

_SMALL_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 32,
}
_SMALL_UNET = {"layers_per_block": 1, "attention_head_dim": 8, "norm_num_groups": 8}
_SMALL_VAE = {**_KL, "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4}
_SMALL_TINY_VAE = {
    "encoder_block_out_channels": (8, 8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8, 8),
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
}
SMALL = {
    "sd15": Architecture(
        64,
        32,
        {
            **_SMALL_UNET,
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": 32,
        },
        _SMALL_VAE,
        _SMALL_TINY_VAE,
        (_SMALL_TEXT,),
    ),
    "sdxl": Architecture(
        64,
        32,
        {
            **_SMALL_UNET,
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 64,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 32,
        },
        {**_SMALL_VAE, "force_upcast": False},
        _SMALL_TINY_VAE,
        (_SMALL_TEXT, _SMALL_TEXT),
    ),
}


def unet(architecture: Architecture) -> Any:
    """The denoiser; call under ``torch.device("meta")`` where its values do not matter."""
    return diffusers.UNet2DConditionModel(in_channels=9, out_channels=4, **architecture.unet)


def flops(architecture: Architecture, size: int) -> dict[str, int]:
    """Count the floating-point operations (two a multiply-add) of each network for one image.

    Args:
        architecture: Whose networks.
        size: Side of the working crop in pixels, a multiple of 8.

    Returns:
        ``unet`` (one evaluation), and ``encode`` and ``decode`` of either autoencoder as ``kl_encode`` and so on.
    """
    found = {}
    side = size // CELL
    with torch.device("meta"), torch.no_grad():
        pixels, latents = torch.empty(1, 3, size, size), torch.empty(1, 4, side, side)
        context = {"encoder_hidden_states": torch.empty(1, MAX_TOKENS, architecture.unet["cross_attention_dim"])}
        if architecture.xl:
            pooled = torch.empty(1, architecture.texts[1]["projection_dim"])
            context["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": torch.empty(1, 6)}  # type: ignore[assignment]  # one of the two is nested
        denoiser = unet(architecture)
        kl = diffusers.AutoencoderKL(**architecture.vae)
        tiny = diffusers.AutoencoderTiny(**architecture.tiny_vae)
        runs: dict[str, Callable[[], Any]] = {
            "unet": lambda: denoiser(torch.empty(1, 9, side, side), torch.zeros(1), **context),
            "kl_encode": lambda: kl.encode(pixels),
            "kl_decode": lambda: kl.decode(latents),
            "tiny_encode": lambda: tiny.encode(pixels),
            "tiny_decode": lambda: tiny.decode(latents),
        }
        for name, run in runs.items():
            with FlopCounterMode(display=False) as counter:
                run()
            found[name] = counter.get_total_flops()
    return found


def save(architecture: Architecture, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Write a pipeline and an ``AutoencoderTiny`` in the diffusers layout, as ``pipeline`` and ``tiny_vae``.

    Args:
        architecture: What to write.
        folder: Where to.
        device: Where the weights are drawn; a GPU does it in a second.
        dtype: Of the weights.
    """
    tokenizer = _tokenizer()
    scheduler: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    tokens = {
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.device("meta"):
        configs = [transformers.CLIPTextConfig(**text, **tokens) for text in architecture.texts]
        parts: dict[str, Any] = {
            "unet": unet(architecture),
            "vae": diffusers.AutoencoderKL(**architecture.vae),
            "text_encoder": transformers.CLIPTextModel(configs[0]),
        }
        if architecture.xl:
            parts["text_encoder_2"] = transformers.CLIPTextModelWithProjection(configs[1])
        tiny_vae = diffusers.AutoencoderTiny(**architecture.tiny_vae)
    parts = {name: _drawn(model, device, dtype) for name, model in parts.items()}
    parts["tokenizer"] = tokenizer
    if architecture.xl:
        parts |= {
            "tokenizer_2": _tokenizer(),
            "scheduler": diffusers.EulerDiscreteScheduler(**scheduler, timestep_spacing="leading", steps_offset=1),
        }
        pipeline = diffusers.StableDiffusionXLInpaintPipeline(**parts)
    else:
        parts |= {
            "scheduler": diffusers.DDIMScheduler(
                **scheduler, clip_sample=False, set_alpha_to_one=False, steps_offset=1
            ),
            "safety_checker": None,
            "feature_extractor": None,
        }
        pipeline = diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder / "pipeline", safe_serialization=True)
    _drawn(tiny_vae, device, dtype).save_pretrained(folder / "tiny_vae", safe_serialization=True)


def _drawn(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A model from the meta device with weights that keep a signal's size: noise in, noise out, nothing overflows."""
    model = model.to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            weight.data.normal_(std=1 / math.sqrt(weight[0].numel()), generator=generator)
        else:
            weight.data.fill_(float(name.endswith("weight")))
    return model.eval()


def _tokenizer() -> Any:
    """A CLIP tokenizer that knows single characters only; a prompt is padded to the same length by any."""
    characters = [*string.printable.strip(), *(f"{character}</w>" for character in string.printable.strip())]
    vocabulary = {token: index for index, token in enumerate([*characters, "<|startoftext|>", "<|endoftext|>"])}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_TOKENS)
