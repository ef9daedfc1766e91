"""Surroundings that no picture shows: floors in other colours, with the shadow of what is put on them."""

from __future__ import annotations

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box, sides

# How far colours are turned, in degrees of hue; their strength; light.
TURNED = (-180.0, 180.0)
STRENGTH = (0.0, 1.6)
LIGHT = (0.45, 1.4)
# A grain or pattern of the floor in levels of 255, and its coarseness over the picture's longer side.
PATTERN = (0.0, 25.0)
COARSE = (0.01, 0.3)
# How dark a shadow is, and its sides and softness over those of the object.
DARK = (0.25, 0.7)
LONG, DEEP = (0.5, 1.3), (0.12, 0.5)
SOFT = (0.05, 0.2)


def recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same surroundings in other colours and another light, sometimes with another pattern.

    Args:
        picture: ``(H, W, 3)`` uint8, RGB.
        rng: Source of the draws.
    """
    seen = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    seen[..., 0] = (seen[..., 0] + rng.uniform(*TURNED)) % 360
    seen[..., 1] = np.clip(seen[..., 1] * rng.uniform(*STRENGTH), 0, 1)
    found = cv2.cvtColor(seen, cv2.COLOR_HSV2RGB) * 255 * rng.uniform(*LIGHT)
    height, width = picture.shape[:2]
    cells = max(2, round(1 / np.exp(rng.uniform(*np.log(COARSE)))))
    rough = rng.standard_normal((cells, cells)).astype(np.float32)
    pattern = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    found += rng.uniform(*PATTERN) * pattern[..., None]
    return np.clip(found, 0, 255).astype(np.uint8)


def shaded(picture: np.ndarray, place: Box, rng: np.random.Generator) -> np.ndarray:
    """The same surroundings with a soft shadow at the foot of an object that will stand there.

    Args:
        picture: ``(H, W, 3)`` uint8, RGB.
        place: The box of that object.
        rng: Source of the draws.
    """
    width, height = sides(place)
    long, deep = width * rng.uniform(*LONG) / 2, height * rng.uniform(*DEEP) / 2
    x = (place[0] + place[2]) / 2 + rng.uniform(-0.5, 0.5) * width
    y = place[3] - deep * rng.uniform(0, 1.5)
    shadow: np.ndarray = np.zeros(picture.shape[:2], np.float32)
    axes = (max(1, round(long)), max(1, round(deep)))
    cv2.ellipse(shadow, (round(x), round(y)), axes, rng.uniform(-15, 15), 0, 360, 1.0, cv2.FILLED)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.5, rng.uniform(*SOFT) * max(width, height)))
    return np.rint(picture * (1 - rng.uniform(*DARK) * shadow[..., None])).astype(np.uint8)
