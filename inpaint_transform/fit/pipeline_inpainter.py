"""A pipeline that is being trained, as an inpainter: for sample sheets without a second copy of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from inpaint_transform.core import crops
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.fit.precision import autocast

# Of a large model one crop takes gigabytes in the decoder.
_AT_ONCE, _PIXELS_AT_ONCE = 8, 2**20


class PipelineInpainter:
    """Paints with the weights as they are now.

    Args:
        pipeline: A diffusers inpainting pipeline.
        size: Side of the working crop in pixels.
        cell: Pixels a latent cell.
        paints: Its steps and guidance, now.
    """

    def __init__(self, pipeline: Any, size: int, cell: int, paints: Callable[[], Mapping[str, Any]]) -> None:
        self._pipeline, self.size, self._cell, self._paints = pipeline, size, cell, paints

    @torch.no_grad()
    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request, in their order."""
        results: list[InpaintResult] = []
        paints = self._paints()
        count = max(1, min(_AT_ONCE, _PIXELS_AT_ONCE // self.size**2))
        for start in range(0, len(requests), count):
            some = requests[start : start + count]
            masks = np.stack([crops.align_mask(request.mask, self._cell) for request in some])
            pixels = torch.from_numpy(np.stack([request.image for request in some])).permute(0, 3, 1, 2).float() / 255
            with autocast(self._pipeline.device):
                images = self._pipeline(
                    prompt=[request.prompt for request in some],
                    image=pixels,
                    mask_image=torch.from_numpy(masks)[:, None].float(),
                    height=self.size,
                    width=self.size,
                    strength=1.0,
                    num_inference_steps=paints["steps"],
                    guidance_scale=paints["guidance_scale"],
                    generator=[torch.Generator().manual_seed(request.seed) for request in some],
                    output_type="np",
                ).images
            results += [InpaintResult((image * 255).round().astype(np.uint8)) for image in np.nan_to_num(images)]
        return results

    def paint_later(self, *_: Any) -> float:
        """Nothing is painted later: the device is busy training."""
        return True

    def stats(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}

    def close(self) -> None:
        """Nothing to free: the weights belong to the training."""
