"""New weights from a seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn on the CPU meanwhile follows from the seed; the caller's generator goes on as if nothing had been.

    No GPU is touched: asking each for its generator's state would take memory of all of them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
