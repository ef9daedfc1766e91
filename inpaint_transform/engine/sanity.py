"""Whether painted pixels can be used at all: finite, and more than one flat colour."""

from __future__ import annotations

import torch

# In grey levels. A VAE that overflowed paints one flat colour; the flattest real surface still has texture.
MIN_DEVIATION = 1.0


def verdicts(images: torch.Tensor, masks: torch.Tensor) -> list[str | None]:
    """Judge every image of a batch by its painted part.

    Args:
        images: ``(B, 3, S, S)`` float, [0, 1] for black to white.
        masks: ``(B, 1, S, S)`` float, 1 where pixels were painted; no mask is empty.

    Returns:
        ``"not finite"``, ``"near constant"`` or None for each image.
    """
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    levels = images.float().clamp(0, 1) * 255
    count = masks.sum(dim=(2, 3), keepdim=True)
    mean = (levels * masks).sum(dim=(2, 3), keepdim=True) / count
    variance = ((levels - mean).square() * masks).sum(dim=(2, 3)) / count.flatten(1)
    flat = (variance.sqrt() < MIN_DEVIATION).all(dim=1)
    return [
        "not finite" if not is_finite else "near constant" if is_flat else None
        for is_finite, is_flat in zip(finite.tolist(), flat.tolist(), strict=True)
    ]
