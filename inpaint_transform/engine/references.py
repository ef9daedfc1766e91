"""References: pictures of the object to paint, as the arguments that a pipeline takes; each is encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import REFERENCE_SIDE
from inpaint_transform.engine import adapters
from inpaint_transform.engine.embeddings import Recent

DEFAULT_SCALE = 0.6


class References:
    """What one pipeline makes of references.

    Args:
        pipeline: Loaded, with its IP-Adapter if it has one.
        spec: The resolved spec that it was loaded for.
        guided: Whether it runs with classifier-free guidance.
        device: Where it works.
        size: Side of its working crop in pixels.
    """

    def __init__(self, pipeline: Any, spec: ModelSpec, guided: bool, device: torch.device, size: int) -> None:
        self._pipeline = pipeline
        self._argument = adapters.adapter_for(pipeline).reference
        self._adapts = spec.ip_adapter is not None
        self._scale = DEFAULT_SCALE if spec.ip_adapter_scale is None else spec.ip_adapter_scale
        self._guided = guided
        self._device = device
        # More of it than of what is painted would only take time.
        self._side = min(size, REFERENCE_SIDE)
        self._recent = Recent()
        if self._adapts:
            # Given the embeddings of a batch, diffusers 0.42 repeats all of them for every crop of it, so that each
            # would see the references of all. What a call needs is in its final form here already.
            self._encode = pipeline.prepare_ip_adapter_image_embeds
            self._batch: list[torch.Tensor] = []
            pipeline.prepare_ip_adapter_image_embeds = lambda *_: self._batch

    def check(self, reference: np.ndarray | None) -> None:
        """Raise where a reference cannot be used.

        Raises:
            ValueError: It has another form than it should, or the model sees no references.
        """
        if reference is None:
            return
        shape = (REFERENCE_SIDE, REFERENCE_SIDE, 3)
        if reference.shape != shape or reference.dtype != np.uint8:
            raise ValueError(f"reference of shape {reference.shape} and dtype {reference.dtype}: use uint8 of {shape}")
        if self._argument is None and not self._adapts:
            raise ValueError(
                f"reference: a {type(self._pipeline).__name__} sees the prompt only. With Stable Diffusion 1 and SDXL"
                " give ModelSpec(ip_adapter='h94/IP-Adapter'), use model='flux2-klein', or leave reference out"
            )

    def arguments(self, references: Sequence[np.ndarray | None]) -> dict[str, Any]:
        """The arguments of ``__call__`` for a batch, of which all have a reference or none has.

        Args:
            references: ``(REFERENCE_SIDE, REFERENCE_SIDE, 3)`` uint8, RGB each.
        """
        there = references[0] is not None
        if self._argument is not None:
            return {self._argument: torch.cat([self._latents(one) for one in references])} if there else {}
        if not self._adapts:
            return {}
        # The adapter's layers ask for a picture always; at scale 0 they are passed over.
        self._pipeline.set_ip_adapter_scale(self._scale if there else 0.0)
        rows = [self._seen(one) for one in references]
        halves = [row.chunk(2 if self._guided else 1) for row in rows]
        self._batch = [torch.cat([one for half in zip(*halves, strict=True) for one in half])]
        return {"ip_adapter_image_embeds": self._batch}

    def _latents(self, reference: np.ndarray | None) -> torch.Tensor:
        """A reference as FLUX.2 takes it: latents in patches of 2x2, not normalised yet."""
        pixels = _pixels(reference)

        def encode() -> dict[str, torch.Tensor]:
            image = torch.from_numpy(pixels).to(self._device).permute(2, 0, 1)[None].float() / 255
            if self._side != REFERENCE_SIDE:
                image = functional.interpolate(image, size=(self._side, self._side), mode="area")
            latents = adapters.encode(self._pipeline.vae, image * 2 - 1, upcast=False)
            return {"latents": functional.pixel_unshuffle(latents, 2)}

        return self._recent.get(_digest(pixels), encode)["latents"]

    @torch.no_grad()
    def _seen(self, reference: np.ndarray | None) -> torch.Tensor:
        """What the image encoder of an IP-Adapter says of a reference; with guidance what it says of none before it."""
        pixels = _pixels(reference)

        def encode() -> dict[str, torch.Tensor]:
            image = [Image.fromarray(pixels)]
            [seen] = self._encode(image, None, self._device, 1, self._guided)
            return {"seen": seen}

        return self._recent.get(_digest(pixels), encode)["seen"]


def _pixels(reference: np.ndarray | None) -> np.ndarray:
    return np.zeros((REFERENCE_SIDE, REFERENCE_SIDE, 3), np.uint8) if reference is None else reference


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha1(np.ascontiguousarray(pixels).data, usedforsecurity=False).digest()
