"""What each pipeline class takes: a table, so that the engine asks no class by name.

Everything goes through the public arguments of ``__call__``. Where a class accepts latents in place of pixels, the
engine encodes the whole batch at once and takes the mode of the posterior: given one generator a request, diffusers
encodes one image at a time, and it samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_CLIP = ("prompt_embeds", "negative_prompt_embeds")
_CLIP_POOLED = (*_CLIP, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_FLUX = ("prompt_embeds", "pooled_prompt_embeds", None)


@dataclass(frozen=True)
class Adapter:
    """How one pipeline class differs from the rest.

    Attributes:
        embeddings: ``__call__`` arguments for the results of ``encode_prompt``; None for a result that is not
            passed on. Empty: the pipeline gets the prompts themselves.
        latent_channels: The channel count by which ``__call__`` recognises latents in place of an image; None where
            it takes images only.
        masked_latents_scaled: Whether it takes ``masked_image_latents`` shifted and scaled, or as the VAE made them.
        upcast: Whether it encodes and decodes in float32 where the VAE's config asks for that.
        decode: Whether the engine decodes, because the pipeline does it wrongly.
        guidance: The argument of classifier-free guidance.
        distilled_guidance: Guidance is an input of the model: there is no negative prompt.
        full_strength: What strength 1 becomes for a UNet that sees the masked image.
        reference: The argument that takes latents of a picture of what is to be painted; None where there is none.
    """

    embeddings: Sequence[str | None] = ()
    latent_channels: int | None = None
    masked_latents_scaled: bool = True
    upcast: bool = False
    decode: bool = False
    guidance: str = "guidance_scale"
    distilled_guidance: bool = False
    full_strength: float = 1.0
    reference: str | None = None


ADAPTERS = {
    "StableDiffusionInpaintPipeline": Adapter(_CLIP, latent_channels=4),
    # Its authors found strength 1 less sharp, hence the pipeline's default of 0.9999: the first latents then hold the
    # low frequencies of the image. The engine gives it the image without the masked part, so nothing old gets in.
    "StableDiffusionXLInpaintPipeline": Adapter(_CLIP_POOLED, latent_channels=4, upcast=True, full_strength=0.9999),
    # With a ControlNet: it takes no masked latents, so it encodes by itself.
    "StableDiffusionControlNetInpaintPipeline": Adapter(_CLIP),
    "StableDiffusionXLControlNetInpaintPipeline": Adapter(_CLIP_POOLED),
    # diffusers 0.42 forgets the VAE's shift when this pipeline decodes.
    "StableDiffusion3InpaintPipeline": Adapter(
        _CLIP_POOLED, latent_channels=16, masked_latents_scaled=False, decode=True
    ),
    "FluxInpaintPipeline": Adapter(_FLUX, latent_channels=16, distilled_guidance=True),
    "FluxFillPipeline": Adapter(_FLUX, distilled_guidance=True),
    "FluxKontextInpaintPipeline": Adapter(_FLUX, distilled_guidance=True),
    "Flux2KleinInpaintPipeline": Adapter(reference="image_reference"),
    "QwenImageInpaintPipeline": Adapter(guidance="true_cfg_scale"),
    "QwenImageEditInpaintPipeline": Adapter(guidance="true_cfg_scale"),
}
PLAIN = Adapter()


def adapter_for(pipeline: Any) -> Adapter:
    """The adapter of a pipeline's class; pixels and prompts for a class that is not in the table."""
    return ADAPTERS.get(type(pipeline).__name__, PLAIN)


@torch.no_grad()
def encode(vae: Any, pixels: torch.Tensor, upcast: bool) -> torch.Tensor:
    """Encode a batch of images to the mode of their latents, before shift and scale.

    Args:
        vae: AutoencoderKL or one of its kin.
        pixels: ``(B, 3, H, W)`` float in [-1, 1] on the VAE's device.
        upcast: Whether to encode in float32 a VAE that says it overflows in float16.

    Returns:
        ``(B, C, h, w)`` in the VAE's dtype.
    """
    dtype = vae.dtype
    overflows = upcast and dtype == torch.float16 and vae.config.get("force_upcast", False)
    if overflows:
        vae.to(torch.float32)
    encoded = vae.encode(pixels.to(vae.dtype))
    latents: torch.Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    if overflows:
        vae.to(dtype)
    return latents.to(dtype)


def scale(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Shift and scale a VAE's latents to what the denoiser works on."""
    scaled: torch.Tensor = (latents - (vae.config.get("shift_factor") or 0.0)) * vae.config.scaling_factor
    return scaled


@torch.no_grad()
def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Decode the denoiser's latents.

    Args:
        vae: AutoencoderKL or one of its kin.
        latents: ``(B, C, h, w)``, shifted and scaled.

    Returns:
        ``(B, 3, H, W)`` float, in [0, 1] but for overshoot.
    """
    raw = latents / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
    images: torch.Tensor = vae.decode(raw.to(vae.dtype), return_dict=False)[0]
    return images / 2 + 0.5
