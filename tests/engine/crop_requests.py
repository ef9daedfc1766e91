"""What the tests of the engine ask for, of small checkpoints with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import torch

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.engine import Engine

SIZE = pipelines.SIZE
STEPS = 4


def checkpoints(root: Path) -> Callable[[str], Path]:
    """Checkpoint folders by the names in ``pipelines.SAVERS``, written when first asked for."""

    def get(name: str) -> Path:
        path = root / name
        return path if path.exists() else pipelines.SAVERS[name](path)

    return get


def make(path: Path, **fields: Any) -> Engine:
    return Engine(ModelSpec(str(path), **{"device": "cpu", "size": SIZE, "steps": STEPS, **fields}))


def request(seed: int = 0, **fields: Any) -> InpaintRequest:
    """A noise picture of its own for every seed, and a mask that no latent cell aligns with."""
    image = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[9:22, 7:25] = True
    return InpaintRequest(image, mask, **{"prompt": f"a thing {seed}", "seed": seed, **fields})


def pixels(result: InpaintResult) -> np.ndarray:
    assert result.rejected is None
    assert result.image is not None
    assert result.image.dtype == np.uint8
    assert result.image.shape == (SIZE, SIZE, 3)
    return result.image.astype(int)


def difference(a: InpaintResult, b: InpaintResult) -> int:
    """The largest difference in grey levels."""
    return int(np.abs(pixels(a) - pixels(b)).max())


def count_calls(module: torch.nn.Module) -> list[int]:
    """A list that grows by the batch size of every call of ``module``."""
    sizes: list[int] = []
    module.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(len(args[0] if args else kwargs["sample"])), with_kwargs=True
    )
    return sizes
