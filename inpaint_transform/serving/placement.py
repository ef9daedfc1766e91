"""Where a model will run and who will run it, decided without initialising CUDA in this process."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
from typing import Any

from inpaint_transform.core.models import Model, ModelSpec, as_json
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.core.service import rank_device
from inpaint_transform.serving.forks import is_forked
from inpaint_transform.serving.isolation import foreign_dtype

# Fields that specs did not always have. They are left out where they say nothing, so that pools and painters of
# before are still found.
LATER_FIELDS = {"quantize", "textual_inversion", "vae_tiling", "vae_slicing", "ip_adapter", "ip_adapter_scale"}

# A server is reached through a Unix socket, which Python has not on Windows.
CAN_SHARE = sys.platform != "win32"

# Crops in one call of a painter: with fewer the call costs more than it carries, with more painters wait for crops.
MIN_CALL, MAX_CALL = 8, 16


def portable(spec: ModelSpec) -> dict[str, Any]:
    """The fields that decide what is painted, as JSON values that mean the same on every machine."""
    resolved = spec.resolved()
    fields = {one.name: as_json(one.name, getattr(resolved, one.name)) for one in dataclasses.fields(Model)}
    if resolved.id == PRESET_FIELDS["tiny"]["id"]:
        fields["id"] = "tiny"  # whose folder is another on every machine
    return {name: value for name, value in fields.items() if name not in LATER_FIELDS or _says(value)}


def _says(value: Any) -> bool:
    return value is not None and value is not False


def resolve_device(device: str) -> str:
    """Turn ``ModelSpec.device`` into ``"cpu"``, ``"mps"`` or ``"cuda:N"``; whether it exists is the engine's question.

    A process that has initialised CUDA cannot be forked into workers that use it, so only the driver's management
    library is asked.
    """
    if device in {"cpu", "mps"} or ":" in device:
        return device
    import torch

    count = torch.cuda.device_count()
    if device == "auto" and count == 0:
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return f"cuda:{rank_device(count)}"


def resolve_serving(spec: ModelSpec) -> str:
    """Turn ``ModelSpec.serving`` into ``"local"``, ``"shared"`` or ``"ray"``.

    ``"auto"`` is local without CUDA in the process that the user has started, and there with torch's own default dtype:
    an engine belongs to the process and the settings it was made in. On Windows, which cannot share a server, it is
    local everywhere.

    Raises:
        ValueError: The spec asks for this process and for a server's address at once.
    """
    if spec.serving == "ray":
        return "ray"
    if spec.address is not None:
        if spec.serving == "local":
            raise ValueError(f"serving='local' and address={spec.address!r} exclude each other; leave one of them out")
        return "shared"
    if spec.serving != "auto":
        return spec.serving
    if not CAN_SHARE:
        return "local"
    elsewhere = multiprocessing.parent_process() is not None or is_forked() or foreign_dtype() is not None
    return "shared" if elsewhere or resolve_device(spec.device).startswith("cuda") else "local"
