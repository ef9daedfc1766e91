"""Small cards: what a model will need against what is free, and what makes it need less."""

from __future__ import annotations

import logging
from typing import Any

import psutil
import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec

logger = logging.getLogger(__name__)

GIB = 2**30


def shrink(pipeline: Any, spec: ModelSpec) -> None:
    """Do what the spec says to need less memory, as far as it concerns weights and autoencoder.

    Raises:
        ValueError: This pipeline cannot, or a package is missing; the message names the field and the mend.
    """
    for name, switch in (("vae_tiling", "enable_tiling"), ("vae_slicing", "enable_slicing")):
        if not getattr(spec, name):
            continue
        try:
            getattr(pipeline.vae, switch)()
        except (AttributeError, NotImplementedError) as error:
            kind = type(pipeline.vae).__name__
            raise ValueError(f"{name}=True: an {kind} has no such switch; use {name}=False") from error
    if spec.quantize is not None:
        _quantize(denoiser_of(pipeline))


def _quantize(denoiser: Any) -> None:
    """Keep the weights of the linear layers in eight bits."""
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise ValueError("quantize='int8' needs torchao: pip install torchao, or use quantize=None") from error
    quantize_(denoiser, Int8WeightOnlyConfig())


def denoiser_of(pipeline: Any) -> Any:
    """The part that denoises: a UNet or a transformer."""
    return getattr(pipeline, "unet", None) or pipeline.transformer


def parts_of(pipeline: Any) -> dict[str, int]:
    """What the weights of each part of a pipeline take, in bytes."""
    return {
        name: sum(_bytes(tensor) for tensor in (*part.parameters(), *part.buffers()))
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }


def _bytes(tensor: Any) -> int:
    if hasattr(tensor, "__tensor_flatten__"):  # a quantised one says what it stands for, and holds others
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())


def needed(pipeline: Any, offload: str | None) -> int:
    """The bytes that weights will take on the device: all, those of the largest part, or next to none."""
    sizes = list(parts_of(pipeline).values())
    if offload == "sequential":
        return 0
    return max(sizes, default=0) if offload == "model" else sum(sizes)


def free_bytes(device: torch.device) -> int | None:
    """What is free on a device now; None where that cannot be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None


def check(pipeline: Any, spec: ModelSpec, device: torch.device) -> None:
    """Say what a model will need against what is free, and raise where that cannot go well.

    Args:
        pipeline: Loaded, and not on its device yet.
        spec: A resolved spec.
        device: The device.

    Raises:
        InpaintError: The weights alone do not fit; the message names the mends and what each needs.
    """
    if device.type == "cpu":  # where it is already
        logger.info("%s: its weights take %s", spec.id, _gib(needed(pipeline, None)))
        return
    free, need = free_bytes(device), needed(pipeline, spec.offload)
    said = f"{spec.id!r} needs {_gib(need)} for its weights, and more for each crop of a batch"
    if free is None:
        logger.info("%s", said)
        return
    logger.info("%s; %s has %s free", said, device, _gib(free))
    if need > free:
        raise InpaintError(f"id={said}, but {device} has {_gib(free)} free: use {_mends(pipeline, spec)}")


def _mends(pipeline: Any, spec: ModelSpec) -> str:
    mends = []
    if spec.offload is None:
        mends.append(f"offload='model' ({_gib(needed(pipeline, 'model'))})")
    if spec.offload != "sequential":
        mends.append("offload='sequential' (slow, and it fits nearly everywhere)")
    if spec.quantize is None:
        mends.append("quantize='int8'")
    return ", ".join([*mends, "a smaller model, or a device with more free memory"])


def _gib(size: int) -> str:
    return f"{size / GIB:.2g} GiB" if size < 10 * GIB else f"{size / GIB:.0f} GiB"


def place(pipeline: Any, spec: ModelSpec, device: torch.device) -> None:
    """Put a pipeline onto its device, whole or as far as it works just now; on the CPU it is there already.

    Raises:
        ValueError: A package is missing.
    """
    if spec.offload is None or device.type == "cpu":
        pipeline.to(device)
        return
    try:
        getattr(pipeline, f"enable_{spec.offload}_cpu_offload")(device=device)
    except ImportError as error:
        raise ValueError(
            f"offload={spec.offload!r} needs accelerate: pip install accelerate, or use offload=None"
        ) from error
