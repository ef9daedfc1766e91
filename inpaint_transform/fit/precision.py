"""In how many bits a device computes here."""

from __future__ import annotations

import timeit
from functools import cache
from typing import Any

import torch

# From this compute capability on a card multiplies bfloat16 by itself. PyTorch emulates it on older ones and says that
# they support it, but cuDNN has no convolutions for it there.
BFLOAT16_CAPABILITY = (8, 0)
# Of the matrices that are multiplied to try out a CPU, and how often: some hundredths of a second in all.
SIDE, REPEATS = 512, 5
# What bfloat16 may take at most of float32's time: there and back everything has to be cast.
GAIN = 0.8


def autocast(device: torch.device) -> Any:
    """Half the bits where they suffice and cost less time; bfloat16, whose range needs no scaling of the loss."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_dtype(device) == torch.bfloat16)


def fast_dtype(device: torch.device) -> torch.dtype:
    """In what a device multiplies matrices fastest, of what has the range of float32."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY
    else:
        fast = device.type == "cpu" and _cpu_gains()
    return torch.bfloat16 if fast else torch.float32


@cache
def _cpu_gains() -> bool:
    """Whether the CPU gains by bfloat16, tried out once a process.

    What a processor says of itself does not tell: of those that list the instructions some take longer with them.
    """
    return _seconds(torch.bfloat16) < GAIN * _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """What a multiplication of two matrices takes on the CPU, the fastest of a few."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        matrix = torch.ones(SIDE, SIDE, dtype=dtype, device="cpu")
        return min(timeit.repeat(lambda: matrix @ matrix, number=1, repeat=REPEATS))
