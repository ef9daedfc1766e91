"""What makes a loaded pipeline faster without changing what it paints: memory format and compilation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.compiler import config as compiler_config

# Dynamo stops compiling a module at 8 programs; each batch size needs one, and each order of its inputs in memory.
MAX_PROGRAMS = 1024


def batch_buckets(most: int) -> list[int]:
    """The batch sizes that a compiled pipeline is compiled for: powers of two, and the largest batch.

    Examples:
        >>> batch_buckets(12)
        [1, 2, 4, 8, 12]
    """
    return [*(1 << power for power in range((most - 1).bit_length())), most]


def bucket_for(count: int, most: int) -> int:
    """The smallest bucket that holds a batch."""
    return next(size for size in batch_buckets(most) if size >= count)


def use_channels_last(pipeline: Any) -> None:
    """Keep the weights of denoiser and autoencoder in the channels-last memory format."""
    for part in _parts(pipeline):
        part.to(memory_format=torch.channels_last)


def compile_parts(pipeline: Any) -> None:
    """Have denoiser and autoencoder compiled at their next call with each shape."""
    for part in _parts(pipeline):
        # In place: a wrapped module would no longer be the class that the pipeline asks for.
        for module in (part.encoder, part.decoder) if hasattr(part, "decoder") else (part,):
            module.compile(dynamic=False)


@contextmanager
def compiling() -> Iterator[None]:
    """While it lasts, as many programs may be compiled as it takes, each for the processor at hand.

    torch keeps compiled programs on disk, also for other machines that share the folder, and knows them by all but the
    width of the processor's vectors. One written for AVX2 and run on AVX-512 writes past the end of its memory.
    """
    tag = compiler_config.cache_key_tag + torch.backends.cpu.get_cpu_capability()
    with (
        torch._dynamo.config.patch(recompile_limit=MAX_PROGRAMS, accumulated_recompile_limit=MAX_PROGRAMS),
        compiler_config.patch(cache_key_tag=tag),  # type: ignore[attr-defined]  # put there when it is imported
    ):
        yield


def _parts(pipeline: Any) -> list[Any]:
    """What works on pictures; an autoencoder for videos treats them as such of one frame, with weights to match."""
    parts = [getattr(pipeline, "unet", None) or pipeline.transformer, pipeline.vae]
    return [part for part in parts if not any(isinstance(module, torch.nn.Conv3d) for module in part.modules())]
