"""What a ControlNet is shown of a crop: the edges in it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# The thresholds in grey levels of the examples with which the Canny ControlNets were published
# (https://github.com/lllyasviel/ControlNet).
LOW, HIGH = 100, 200


def canny_maps(crops: Sequence[np.ndarray]) -> np.ndarray:
    """White edges on black, for a batch.

    Args:
        crops: ``(S, S, 3)`` uint8, RGB each.

    Returns:
        ``(B, 3, S, S)`` float32, 0 or 1.
    """
    edges = np.stack([cv2.Canny(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), LOW, HIGH) for crop in crops])
    return np.repeat(edges[:, None] > 0, 3, axis=1).astype(np.float32)
