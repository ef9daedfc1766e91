"""In how many bits a device computes here."""

from __future__ import annotations

from typing import Any

import torch

# From this compute capability on a card multiplies bfloat16 by itself. PyTorch emulates it on older ones and says that
# they support it, but cuDNN has no convolutions for it there.
BFLOAT16_CAPABILITY = (8, 0)


def autocast(device: torch.device) -> Any:
    """Half the bits where they suffice and cost less time; bfloat16, whose range needs no scaling of the loss."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_dtype(device) == torch.bfloat16)


def fast_dtype(device: torch.device) -> torch.dtype:
    """In what a device multiplies matrices fastest, of what has the range of float32."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY
    else:
        fast = device.type == "cpu" and _has_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def _has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 by itself; one that does not takes many times as long as in float32."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # not public, so it may go
    return probe is not None and bool(probe())
