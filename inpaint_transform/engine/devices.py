"""Where a model runs, and in which precision."""

from __future__ import annotations

import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.service import rank_device


def choose_device(device: str) -> torch.device:
    """Turn ``ModelSpec.device`` into a device that exists and that this process may use.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns:
        A device with an explicit index where it is CUDA. ``"auto"`` and ``"cuda"`` mean the device of this
        process's ``LOCAL_RANK``; without CUDA ``"auto"`` is the Metal device where there is one, and else the CPU.

    Raises:
        ValueError: There is no such device here.
        InpaintError: This process was forked after its parent had initialised CUDA.
    """
    if device == "cpu":
        return torch.device("cpu")
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError("device='mps': PyTorch finds no Metal device here; use device='cpu' or 'auto'")
        return torch.device("mps")
    # PyTorch's own words for this, "Cannot re-initialize CUDA in forked subprocess", come too late and name no mend.
    if torch.cuda._is_in_bad_fork():
        raise InpaintError(
            f"device={device!r}: this DataLoader worker was forked after its parent process had initialised CUDA, so"
            " it cannot run a model on the GPU itself. Use serving='shared' (one model for all workers), or"
            " DataLoader(multiprocessing_context='spawn'), or num_workers=0, or device='cpu'"
        )
    if not torch.cuda.is_available():
        if device == "auto":
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        raise ValueError(
            f"device={device!r}: PyTorch {torch.__version__} finds no CUDA device here; use device='cpu' or 'auto', or"
            " install a CUDA build of PyTorch and check that nvidia-smi lists a GPU"
        )
    count = torch.cuda.device_count()
    if ":" in device:
        index = int(device.partition(":")[2])
        if index >= count:
            raise ValueError(f"device={device!r}: there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}")
    else:
        index = rank_device(count)
    return torch.device("cuda", index)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn ``ModelSpec.dtype`` into a torch dtype: ``"auto"`` is float16 on CUDA and float32 elsewhere."""
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


def limit_memory(fraction: float | None, device: torch.device) -> None:
    """Cap this process's share of a CUDA device's memory; no-op for other devices."""
    if fraction is not None and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(fraction, device)
