"""Sharpness: how much fine detail a picture has, beside others of its class and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

# Boxes count as of one size within this factor.
SAME_SIZE = 1.5
MIN_SAME_SIZE = 3


def sharpness(picture: np.ndarray) -> float:
    """The variance of the Laplacian of an ``(H, W, 3)`` uint8 picture, in squared grey levels: fine detail, or none."""
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def ratios(
    real: Mapping[str, Sequence[np.ndarray]], painted: Mapping[str, Sequence[np.ndarray]], labels: Sequence[str]
) -> dict[str, float | None]:
    """Of each class, the median of painted boxes' sharpness over that of real ones of their size; of all as "all".

    Args:
        real: By class, what is cut out of boxes of photographs.
        painted: The same of paintings.
        labels: The classes.
    """
    found: dict[str, float | None] = {}
    everything: list[float] = []
    for label in labels:
        known = [(max(picture.shape[:2]), sharpness(picture)) for picture in real.get(label, [])]
        own = []
        for picture in painted.get(label, []):
            side = max(picture.shape[:2])
            similar = [value for other, value in known if side / SAME_SIZE <= other <= side * SAME_SIZE]
            if len(similar) >= MIN_SAME_SIZE:
                own.append(sharpness(picture) / max(float(np.median(similar)), 1e-6))
        everything += own
        found[label] = round(float(np.median(own)), 3) if own else None
    return {"all": round(float(np.median(everything)), 3) if everything else None, **found}
