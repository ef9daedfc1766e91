"""What crosses between the planner and whoever paints: requests in, results out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InpaintRequest:
    """One working crop to paint.

    Attributes:
        image: ``(size, size, 3)`` uint8, RGB.
        mask: ``(size, size)`` bool, True where pixels are to be painted.
        prompt: What to paint.
        negative_prompt: What to avoid; empty for nothing.
        strength: How far to leave the old pixels, in (0, 1]; 1 ignores them.
        seed: Seed of the noise, in [0, 2**63).
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    negative_prompt: str = ""
    strength: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class InpaintResult:
    """The answer to one request.

    Attributes:
        image: ``(size, size, 3)`` uint8, RGB, or None when the output was rejected.
        rejected: Why there is no image (``"not finite"``, ``"near constant"``, ``"flagged by the safety checker"``),
            or None.
    """

    image: np.ndarray | None
    rejected: str | None = None
