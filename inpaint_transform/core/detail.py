"""Detail: what was painted gets the sharpness and grain of the picture around it.

A window larger than the working crop loses detail on its way there and back, and an autoencoder smoothes what it
renders. The model repaints the known surroundings too, so they show how much of each band of detail is lost; the same
factors bring it back inside the mask.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from inpaint_transform.core.masks import bounds, grown, reach

# Standard deviations in pixels of the blurs between which the bands lie; each is an octave.
BLURS = (0.7, 1.4, 2.8)
# A band is made so much weaker or stronger, at most: more makes noise of what is hardly there.
WEAKER, STRONGER = 0.5, 2.0
# In pixels around the mask: what lies further hardly weighs in the widest blur.
MARGIN = 9
# In levels, of a band: what flat places have more of is the texture of a carpet and no grain of a camera.
MOST_GRAIN = 1.5
# Of the window: with less that is known nothing is told.
MIN_KNOWN = 0.05
# Pixels are blurred in so many parts of a level.
LEVEL = np.uint16(256)
# So many known pixels say how strong the bands are.
MAX_SAMPLES = 2**16
# No pixel leaves the range of its neighbours in this square but for grain, so that edges get no halos.
NEIGHBOURS = 5


def match_detail(painted: np.ndarray, original: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Give the painted pixels the detail that the model has lost in the surroundings.

    Each band of detail is made as strong as it is there, by brightness and within limits; what flat places still lack
    is grain.

    Args:
        painted: ``(h, w, 3)`` uint8, the whole painted window.
        original: ``(h, w, 3)`` uint8, the same window of the image.
        mask: ``(h, w)`` bool.
        seed: Of the grain.

    Returns:
        ``(h, w, 3)`` uint8; beyond the bounding rectangle of the mask, of which nothing is ever used, as it came.
    """
    # Narrow blurs look a little beyond what the model may have painted.
    known = ~grown(mask, reach(mask) + MARGIN // 3)
    x0, y0, x1, y1 = bounds(mask)
    if not x1 or known.mean() < MIN_KNOWN:
        return painted
    top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
    part = painted[top : y1 + MARGIN, left : x1 + MARGIN]
    sharper, bands = _bands(part)
    theirs, ours = (_bands(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[1] for picture in (original, painted))
    noise = _bands(np.random.default_rng(seed).integers(0, 256, part.shape[:2], np.uint8))[1]
    grain = np.zeros(part.shape[:2], np.float32)
    step = max(1, round(math.sqrt(known.size / MAX_SAMPLES)))
    for band, their, our, one in zip(bands, theirs, ours, noise, strict=True):
        there, here = (layer[::step, ::step][known[::step, ::step]] for layer in (their, our))
        gain = min(max(_strength(there) / max(_strength(here), 1.0), WEAKER), STRONGER)
        sharper = sharper + np.float32(gain) * band
        lacking = _grain(there) ** 2 - (gain * _grain(here)) ** 2
        if lacking > 0:
            wanted = min(math.sqrt(lacking), MOST_GRAIN * float(LEVEL))
            grain += np.float32(wanted / max(_strength(one), 1.0)) * one
    around = np.ones((NEIGHBOURS, NEIGHBOURS), np.uint8)
    limited = np.clip(sharper, cv2.erode(part, around) * LEVEL, cv2.dilate(part, around) * LEVEL) + grain[..., None]
    result = painted.copy()
    inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    result[y0:y1, x0:x1] = np.clip(np.rint(limited[inner] / LEVEL), 0, 255)
    return result


def _bands(picture: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture without its detail, and the bands of detail, the finest first, in 256ths of a level; int32.

    Blurs of whole numbers are the same on every processor, and so are sums of their squares.
    """
    finer = whole = picture.astype(np.uint16) * LEVEL
    bands = []
    for blur in BLURS:
        coarser = cv2.GaussianBlur(whole, (0, 0), blur)
        bands.append(np.subtract(finer, coarser, dtype=np.int32))
        finer = coarser
    return finer, bands


def _strength(values: np.ndarray) -> float:
    """The root of the mean square."""
    return math.sqrt(int(np.square(values, dtype=np.int64).sum()) / values.size)


def _grain(values: np.ndarray) -> float:
    """The standard deviation in flat places: by the median, which edges hardly move."""
    return float(np.median(np.abs(values))) / 0.6745
