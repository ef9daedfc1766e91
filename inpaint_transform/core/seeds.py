"""Seeds: where random draws come from, without ever touching a global generator."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence

import numpy as np

# A digest reads at most this many rows and columns of an image, evenly spread: a photo of any size costs the same.
DIGEST_GRID = 64
# Boxes are rounded to this fraction. A power of two: whole pixels of usual image sizes never fall halfway between two
# steps, as every second pixel of an 800 pixel wide image does with steps of 1e-4.
BOX_STEPS = 2**14


def content_rng(seed: int, epoch: int, image: np.ndarray, boxes: Iterable[Sequence[float]]) -> random.Random:
    """A generator keyed by what is in a sample, so the same sample gets the same draws in any worker and any order.

    Args:
        seed: The user's seed.
        epoch: The epoch set by ``set_epoch``.
        image: ``(H, W)`` or ``(H, W, C)``, any dtype. Its shape and an even grid of at most 64x64 pixels count.
        boxes: The sample's boxes, rounded to 1/16384 so that float32 round trips do not change the draws. Only the four
            coordinates count: the label codes behind them depend on which samples a worker met first.

    Returns:
        A private generator; the same arguments give the same stream on every machine.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{seed}|{epoch}|{image.shape}|{image.dtype}".encode())
    height, width = image.shape[:2]
    grid = image[:: -(-height // DIGEST_GRID), :: -(-width // DIGEST_GRID)]
    digest.update(np.ascontiguousarray(grid).tobytes())
    rows = np.rint(np.asarray([row[:4] for row in boxes], dtype=np.float64) * BOX_STEPS) / BOX_STEPS + 0.0
    digest.update(rows.tobytes())
    return random.Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311 - augmentation, not cryptography


def noise_seed(rng: random.Random) -> int:
    """Draw the seed of one edit's noise, in [0, 2**63)."""
    return rng.getrandbits(63)


def retry_seed(seed: int, attempt: int) -> int:
    """The noise seed of a further attempt at the same edit; attempt 0 is the edit's own seed."""
    if attempt == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}|{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def worker_rng(worker_seed: int, stream: int, name: str) -> random.Random:
    """A generator for one DataLoader worker: differs by worker and epoch, and repeats with the loader's own seed.

    Args:
        worker_seed: ``torch.utils.data.get_worker_info().seed``, new for every worker and every epoch.
        stream: A draw from the transform's own generator, so that two transforms differ.
        name: The transform's class name.
    """
    digest = hashlib.blake2b(f"{worker_seed}|{stream}|{name}".encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - augmentation, not cryptography
