"""The painter of the golden test: no model, and pixels that are a function of the request alone, on any processor.

It is named by the environment variable that chooses the engine, and so runs in the process itself, in forked workers
and in the shared server. It imports nothing of the package, whose modules may move.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

SIZE = 64
CELL = 8
# By the first draw out of sixteen: why there is no picture.
REJECTED = {0: "not finite", 1: "near constant", 2: "flagged by the safety checker"}
UNCHANGED = 3
# Only the upper half of the mask is painted, as if the object were too small for its box.
SMALL = (4, 5)


class Painter:
    """Paints coloured cells inside the mask and shifts all colours, a quarter of its answers are of no use."""

    size = SIZE
    cell = CELL

    def __init__(self, spec: Any) -> None:
        """An engine is made from a ``ModelSpec``."""

    def paint(self, requests: Sequence[Any]) -> list[Any]:
        return [_paint(request) for request in requests]

    def close(self) -> None:
        """Nothing to free."""


def _paint(request: Any) -> Any:
    # Requests and results are defined side by side, wherever that is.
    answer_of = sys.modules[type(request).__module__].InpaintResult
    key = _key(request)
    rng = np.random.default_rng(int.from_bytes(key, "big"))
    fate = int(rng.integers(16))
    if fate in REJECTED:
        return answer_of(None, REJECTED[fate])
    image = request.image.copy() if fate == UNCHANGED else _picture(request, rng, fate in SMALL)
    return answer_of(image, answer=None if request.question is None else _answer(request.question, key))


def _key(request: Any) -> bytes:
    """A digest of all that the pixels depend on."""
    texts = (request.prompt, request.negative_prompt, repr(float(request.strength)), repr(int(request.seed)))
    found = hashlib.blake2b("\0".join(texts).encode(), digest_size=16)
    for array in (request.image, request.mask):
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def _picture(request: Any, rng: np.random.Generator, small: bool) -> np.ndarray:
    """The painted crop; whole numbers all the way, which every processor rounds alike."""
    mask = request.mask.copy()
    if small:
        rows = np.flatnonzero(mask.any(axis=1))
        mask[rows[len(rows) // 2] :] = False
    side = mask.shape[0]
    cells = rng.integers(0, 256, (-(-side // CELL), -(-side // CELL), 3))
    noise = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[:side, :side]
    before, share = request.image.astype(np.int64), round(request.strength * 100)
    painted = (before * (100 - share) + noise * share) // 100 + rng.integers(-12, 13, before.shape)
    drift = rng.integers(-20, 21, 3)
    return np.clip(np.where(mask[:, :, None], painted, before) + drift, 0, 255).astype(np.uint8)


def _answer(question: Any, key: bytes) -> tuple[float, ...]:
    """Probabilities of the texts, of which the wanted one often wins."""
    asked = hashlib.blake2b(repr((tuple(question.box), tuple(question.texts))).encode() + key, digest_size=16)
    weights = np.random.default_rng(int.from_bytes(asked.digest(), "big")).integers(1, 100, len(question.texts))
    weights[0] += 40
    return tuple(int(weight) / int(weights.sum()) for weight in weights)
