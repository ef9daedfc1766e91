"""Run lengths: a mask as the few numbers that COCO writes for it, so that an edit with a mask is still JSON."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def encode(mask: np.ndarray) -> tuple[int, ...]:
    """COCO's uncompressed run lengths of a mask: column by column, zeros first.

    Args:
        mask: ``(h, w)`` bool.

    Returns:
        How many zeros, then ones, then zeros and so on; their sum is ``h * w``.

    Examples:
        >>> encode(np.array([[False, True], [True, True]]))
        (1, 3)
    """
    pixels = mask.T.reshape(-1)
    if not pixels.size:
        return ()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], changes, [pixels.size])))
    return (*(() if not pixels[0] else (0,)), *(int(length) for length in lengths))


def decode(lengths: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask that ``encode`` has written.

    Raises:
        ValueError: The lengths do not sum up to the mask's size.
    """
    if sum(lengths) != height * width or any(length < 0 for length in lengths):
        raise ValueError(f"run lengths of {sum(lengths)} pixels are no mask of {height} x {width}")
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T
