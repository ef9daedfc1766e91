"""Paint batches of requests with one resident diffusers pipeline."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np
import torch
from torch.nn import functional

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult, share_key
from inpaint_transform.engine import adapters
from inpaint_transform.engine.clip_scores import Clip
from inpaint_transform.engine.devices import choose_dtype
from inpaint_transform.engine.edges import canny_maps
from inpaint_transform.engine.embeddings import PromptCache, TokenLimit
from inpaint_transform.engine.loading import load
from inpaint_transform.engine.out_of_memory import BatchLimit, explained, release
from inpaint_transform.engine.quiet import quiet
from inpaint_transform.engine.references import References
from inpaint_transform.engine.sanity import verdicts
from inpaint_transform.engine.speed import batch_buckets, compile_parts, compiling, use_channels_last

logger = logging.getLogger(__name__)
# With fewer, the step that a strength below 1 skips is a large part of them all, and what is painted begins as grey.
FEW_STEPS = 8
# Beside one pipeline; more is a mistake in somebody's gates, and would fill the device.
MAX_CLIPS = 4


class Engine:
    """A diffusers inpainting pipeline that stays loaded.

    Not thread-safe: schedulers hold the state of a run, so one thread paints at a time. The global random number
    generators are not touched.

    Args:
        spec: Which model, and how to run it. Presets are filled in here.

    Raises:
        FileNotFoundError: A folder is missing or is not in the diffusers layout.
        ValueError: The checkpoint cannot inpaint, or a field of the spec does not fit it.
        InpaintError: The hub or the device does not give what is needed.
    """

    @quiet()
    def __init__(self, spec: ModelSpec) -> None:
        spec = spec.resolved()
        self._pipeline: Any
        self._pipeline, self._device = load(spec)
        self._spec = spec
        self._adapter = adapters.adapter_for(self._pipeline)
        self._parameters = inspect.signature(self._pipeline.__call__).parameters
        if not {"image", "mask_image", "generator", "output_type"} <= set(self._parameters) or not hasattr(
            self._pipeline, "vae_scale_factor"
        ):
            raise ValueError(f"id={spec.id!r}: a {type(self._pipeline).__name__} takes no image and mask_image")
        self.cell: int = self._pipeline.vae_scale_factor
        self.size: int = spec.size or _own_size(self._pipeline)
        multiple = _multiple(self._pipeline)
        if self.size % multiple:
            raise ValueError(
                f"size={self.size}: a {type(self._pipeline).__name__} works in steps of {multiple} pixels; use"
                f" {self.size // multiple * multiple or multiple} or {(self.size // multiple + 1) * multiple}"
            )
        self._steps = spec.steps
        self._batch = BatchLimit(spec, self._device, self.size)
        default = self._parameters.get(self._adapter.guidance)
        self._guidance = default.default if spec.guidance_scale is None and default else spec.guidance_scale
        self._guided = not self._adapter.distilled_guidance and (self._guidance or 0) > 1
        self._limit: Any = TokenLimit(self._pipeline)
        names = self._adapter.embeddings
        self._prompts = PromptCache(self._pipeline, names, self._guided, self._device) if names else None
        self._references: Any = References(self._pipeline, spec, self._guided, self._device, self.size)
        self._clips: dict[str, Clip | Exception] = {}
        if spec.clip is not None:
            self._clip(spec.clip)
        # A denoiser that sees the masked image needs nothing else at strength 1.
        denoiser = getattr(self._pipeline, "unet", None) or self._pipeline.transformer
        channels = self._adapter.latent_channels
        self._latents = channels is not None and self._pipeline.vae.config.get("latent_channels") == channels
        self._sees_masked = channels is not None and denoiser.config.in_channels == 2 * channels + 1
        # Its decoder wants the pixels themselves.
        self._needs_pixels = isinstance(self._pipeline.vae, diffusers.AsymmetricAutoencoderKL)

        last = spec.channels_last
        # Layers that come one by one have no weights here.
        if (self._device.type == "cuda" if last is None else last) and spec.offload != "sequential":
            use_channels_last(self._pipeline)
        if spec.compile:
            self._compile()

    def _compile(self) -> None:
        """Compile for every bucket now, so that no request waits for it."""
        compile_parts(self._pipeline)
        crop = InpaintRequest(
            np.zeros((self.size, self.size, 3), np.uint8), np.ones((self.size, self.size), np.bool_), "warm-up"
        )
        most = self._batch.most
        try:
            with compiling():
                for bucket in [most] if self._spec.reproducible else batch_buckets(most):
                    logger.info("compiling %s for batches of %d", self._spec.id, bucket)
                    with explained(
                        f"max_batch_size={most}: {self._device} has too little memory for a compiled batch of {bucket};"
                        " use a smaller max_batch_size or compile=False"
                    ):
                        self._call([crop] * bucket)
        except InpaintError:
            raise
        except Exception as error:  # whatever a compiler tool chain raises
            raise InpaintError(
                f"compile=True: torch.compile failed ({type(error).__name__}: {error}); it needs a C++ compiler, and on"
                " CUDA Triton. Use compile=False"
            ) from error

    def check(self, request: InpaintRequest) -> None:
        """Raise where a request cannot be painted; ``paint`` does this for every request before it starts.

        Raises:
            ValueError: Names the field, its value and the mend.
        """
        shape = (self.size, self.size)
        if request.image.shape != (*shape, 3) or request.image.dtype != np.uint8:
            raise ValueError(
                f"image of shape {request.image.shape} and dtype {request.image.dtype}: this model paints uint8 crops"
                f" of shape {(*shape, 3)}"
            )
        if request.mask.shape != shape or request.mask.dtype != np.bool_:
            raise ValueError(
                f"mask of shape {request.mask.shape} and dtype {request.mask.dtype}: use a bool mask of shape {shape}"
            )
        if not request.mask.any():
            raise ValueError("mask is False everywhere: there is nothing to paint")
        if not 0 < request.strength <= 1:
            raise ValueError(f"strength={request.strength!r}: use a number in (0, 1]")
        if int(self._steps * request.strength) < 1:
            raise ValueError(
                f"strength={request.strength!r} with steps={self._steps} leaves no denoising step: use a strength of at"
                f" least {1 / self._steps:.3g}, or more steps"
            )
        self._limit.check("prompt", request.prompt)
        if self._guided:
            self._limit.check("negative_prompt", request.negative_prompt)
        self._references.check(request.reference)
        if request.question is not None:
            self._clip(request.question.clip).check(request.question, self.size)

    def _clip(self, where: str | None) -> Clip:
        """The CLIP model that a question is for, loaded beside the pipeline at the first."""
        where = where or self._spec.clip
        if where is None:
            raise ValueError("question: it names no CLIP model to answer it, and ModelSpec(clip=...) neither")
        if where not in self._clips:
            if len(self._clips) >= MAX_CLIPS:
                raise ValueError(f"clip={where!r}: an engine keeps {MAX_CLIPS} CLIP models; use one for all gates")
            try:
                self._clips[where] = Clip(where, self._device, choose_dtype(self._spec.dtype, self._device))
            except Exception as error:  # which every further question would wait for
                self._clips[where] = error
        found = self._clips[where]
        if isinstance(found, Exception):
            raise found
        return found

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint working crops, as many in one pipeline call as may share it.

        Args:
            requests: Any number of requests, in any mixture.

        Returns:
            One result a request, in their order. The image is the whole crop as the model left it: the caller
            composites it inside the mask.

        Raises:
            ValueError: A request is not valid; nothing is painted.
            InpaintError: The device has too little memory for a single request, or the engine is closed.
        """
        if self._pipeline is None:
            raise InpaintError("this engine is closed; make a new one")
        for request in requests:
            self.check(request)
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(share_key(request, self._steps), []).append(index)
        results: dict[int, InpaintResult] = {}
        for group in groups.values():
            painted = self._batch.in_batches([requests[index] for index in group], self._paint_batch)
            results.update(zip(group, painted, strict=True))
        return [results[index] for index in range(len(requests))]

    def close(self) -> None:
        """Free the model's memory; the engine cannot paint afterwards."""
        self._pipeline = self._prompts = self._limit = self._references = None
        self._clips = {}
        release(self._device)

    def _paint_batch(self, requests: list[InpaintRequest]) -> list[InpaintResult]:
        padding = self._batch.padded(len(requests)) - len(requests)
        images, masks, flagged = self._call([*requests, *requests[-1:] * padding])
        rejected = verdicts(images, masks)
        levels = (images.nan_to_num().float().clamp(0, 1) * 255).round().to(torch.uint8)
        # In order before it leaves the device: the images that go out are then slices, and nothing copies them again.
        pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        reasons = [
            "flagged by the safety checker" if flagged[index] else rejected[index] for index in range(len(requests))
        ]
        answers = self._answers(requests, levels, [index for index, reason in enumerate(reasons) if reason is None])
        return [
            InpaintResult(None if reason else pixels[index], reason, answers.get(index))
            for index, reason in enumerate(reasons)
        ]

    def _answers(
        self, requests: list[InpaintRequest], levels: torch.Tensor, good: list[int]
    ) -> dict[int, tuple[float, ...]]:
        """What CLIP says to the questions about the good images, by their position in the batch."""
        asked = {index: question for index in good if (question := requests[index].question) is not None}
        found: dict[int, tuple[float, ...]] = {}
        for where in dict.fromkeys(question.clip for question in asked.values()):
            indices = [index for index, question in asked.items() if question.clip == where]
            padding = self._batch.most - len(indices) if self._spec.reproducible else 0
            rows = [*indices, *indices[-1:] * padding]
            answers = self._clip(where).answers(levels[rows], [asked[row] for row in rows])
            found |= dict(zip(indices, answers, strict=False))
        return found

    def _call(self, requests: list[InpaintRequest]) -> tuple[torch.Tensor, torch.Tensor, list[bool]]:
        """Run the pipeline once; images in [0, 1], the aligned masks, and what the safety checker flagged."""
        pixels = torch.from_numpy(np.stack([request.image for request in requests])).to(self._device)
        pixels = pixels.permute(0, 3, 1, 2).float() / 255
        masks = torch.from_numpy(np.stack([request.mask for request in requests])).to(self._device)
        masks = align_masks(masks[:, None].float(), self.cell)
        arguments: dict[str, Any] = {
            "mask_image": masks,
            "height": self.size,
            "width": self.size,
            "num_inference_steps": self._steps,
            "strength": requests[0].strength,
            "generator": [torch.Generator().manual_seed(request.seed) for request in requests],
            "output_type": "latent" if self._adapter.decode else "pt",
            "control_image": self._control(requests),
            **self._text(requests),
            **self._references.arguments([request.reference for request in requests]),
            **self._pictures(pixels, masks, requests[0].strength),
        }
        if self._guidance is not None:
            arguments[self._adapter.guidance] = self._guidance
        output = self._pipeline(**{name: value for name, value in arguments.items() if name in self._parameters})
        images = adapters.decode(self._pipeline.vae, output.images) if self._adapter.decode else output.images
        if images.shape[-2:] != masks.shape[-2:]:
            raise ValueError(
                f"size={self.size}: a {type(self._pipeline).__name__} works at its own sizes and painted"
                f" {tuple(images.shape[-2:])}; use size={images.shape[-1]}"
            )
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(requests)
        return images, masks, flagged

    def _control(self, requests: list[InpaintRequest]) -> torch.Tensor | None:
        """What a ControlNet is shown; None without one."""
        if "control_image" not in self._parameters:
            return None
        return torch.from_numpy(canny_maps([request.image for request in requests])).to(self._device)

    def _text(self, requests: list[InpaintRequest]) -> dict[str, Any]:
        if self._prompts is not None:
            return dict(self._prompts.arguments([(request.prompt, request.negative_prompt) for request in requests]))
        text: dict[str, Any] = {"prompt": [request.prompt for request in requests]}
        if self._guided:
            text["negative_prompt"] = [request.negative_prompt for request in requests]
        return text

    def _pictures(self, pixels: torch.Tensor, masks: torch.Tensor, strength: float) -> dict[str, Any]:
        """The image arguments: pixels, or latents where the pipeline takes them."""
        if not self._latents:
            return {"image": pixels}
        vae, upcast = self._pipeline.vae, self._adapter.upcast
        known = pixels * 2 - 1
        if not self._sees_masked:
            latents = adapters.scale(vae, adapters.encode(vae, known, upcast))
            # This denoiser sees no masked image, but the pipeline would encode one.
            return {"image": pixels if self._needs_pixels else latents, "masked_image_latents": latents}
        masked = adapters.encode(vae, known * (1 - masks), upcast)
        scaled = adapters.scale(vae, masked)
        arguments: dict[str, Any] = {"masked_image_latents": scaled if self._adapter.masked_latents_scaled else masked}
        if self._needs_pixels:
            return {**arguments, "image": pixels}
        if strength < 1:
            return {**arguments, "image": adapters.scale(vae, adapters.encode(vae, known, upcast))}
        if self._steps >= FEW_STEPS:
            arguments["strength"] = self._adapter.full_strength
        return {**arguments, "image": scaled}


def align_masks(masks: torch.Tensor, cell: int) -> torch.Tensor:
    """``crops.align_mask`` for a batch, on its device.

    Args:
        masks: ``(B, 1, S, S)`` float, 0 or 1.
        cell: Pixels per latent cell, a divisor of ``S``.

    Returns:
        As ``masks``, grown outwards to whole cells.
    """
    cells = functional.max_pool2d(masks, cell)
    return cells.repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)


def _own_size(pipeline: Any) -> int:
    """The working size that a checkpoint was trained at, in pixels."""
    denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
    cells = getattr(pipeline, "default_sample_size", None) or getattr(denoiser.config, "sample_size", None)
    if isinstance(cells, (list, tuple)):
        cells = min(cells)
    # Z-Image names no size of its own; all of its kind were trained at 1024.
    return int(cells) * int(pipeline.vae_scale_factor) if cells else 1024


def _multiple(pipeline: Any) -> int:
    """The pixels that a side must be a multiple of: a latent cell, or a patch of cells."""
    patch = pipeline.vae_scale_factor * getattr(pipeline, "patch_size", 1)
    return int(max(patch, pipeline.image_processor.config.vae_scale_factor))
