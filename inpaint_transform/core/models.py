"""Which model paints: the validated specification; what its presets stand for is in ``presets``."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shorten
from typing import Any

from inpaint_transform.core.presets import PRESET_FIELDS

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "float16", "bfloat16")
SERVING = ("auto", "local", "shared", "ray")

# The fields that may name a file or folder; they take a ``pathlib.Path`` too.
PLACES = ("id", "lora", "vae", "controlnet", "clip", "address")
NETWORK_ADDRESS = re.compile(r"\w+://|[\w.-]+:[0-9]+$")

# Eleven days; a socket counts the milliseconds of its time-out in 32 bits.
MAX_TIMEOUT_S = 1e6


@dataclass(frozen=True)
class ModelSpec:
    """A diffusers inpainting model and how to run it.

    Every field is a JSON scalar, so a spec serialises, compares and hashes. A field left at None takes the preset's
    value where ``id`` names a preset, and the library's or the checkpoint's default otherwise.

    Attributes:
        id: Preset name (see ``PRESETS``), hub id, local diffusers folder, or a ``.safetensors`` file with a whole
            Stable Diffusion or SDXL checkpoint.
        revision: Branch, tag or commit of a hub repository.
        variant: Weight file variant of a checkpoint, for instance ``"fp16"``.
        device: ``"auto"`` (``cuda:LOCAL_RANK`` where there is CUDA, else the CPU), ``"cpu"``, ``"cuda"``,
            ``"cuda:N"`` or ``"mps"``.
        dtype: ``"auto"`` (float16 on CUDA, float32 elsewhere), ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        size: Side of the square working crop in pixels; a multiple of the model's latent cell. Default: the
            checkpoint's own size.
        steps: Denoising steps, >= 1. Default 20.
        guidance_scale: Classifier-free guidance, >= 0; 1 or less turns it off. Default: the pipeline's own.
        scheduler: Name of a diffusers scheduler class that replaces the checkpoint's, for instance
            ``"LCMScheduler"``.
        lora: LoRA folder, file or hub id, fused at load time.
        vae: Folder or hub id of another autoencoder, for instance ``"madebyollin/taesd"``.
        controlnet: Folder or hub id of a ControlNet that reads Canny edges (for instance
            ``"lllyasviel/control_v11p_sd15_canny"``). What is painted then keeps the outlines of what was there; for
            Stable Diffusion and SDXL checkpoints.
        clip: Folder or hub id of a transformers CLIP model that judges painted boxes (see ``gates.ClipGate``), or
            ``"tiny"``, the embedded one. It is loaded with the pipeline and stays beside it; a gate names its own,
            which is loaded at its first question, and needs nothing here.
        compile: Compile the denoiser and the autoencoder with ``torch.compile`` while the model loads, once for each
            of the batch sizes 1, 2, 4, ... ``max_batch_size``, to which batches are then padded. Loading takes
            minutes longer; worth it for long trainings on CUDA.
        channels_last: Keep weights in the channels-last memory format. Default: on CUDA only.
        safety_checker: Keep the checkpoint's safety checker; what it flags is rejected, never painted black.
        max_batch_size: Most requests in one pipeline call, >= 1. Default 8.
        max_wait_ms: Longest wait for a batch to fill while some worker has nothing in flight, >= 0. Default 10.
        memory_fraction: Share of the CUDA device's memory that this model may take, in (0, 1].
        device_share: Most of the device's time, in (0, 1], that painting in the background (see ``Reuse``) may take,
            measured as busy time over wall time; for a device that also trains. Default 1. Painting that somebody
            waits for is not limited.
        reproducible: Pad every pipeline call to ``max_batch_size``, so that a result does not depend on which
            requests shared its call.
        serving: ``"local"`` (this process), ``"shared"`` (one server for all processes of a job), ``"ray"`` (that
            server hands on to the painters of a Ray cluster) or ``"auto"`` (local in a main process on the CPU,
            shared otherwise).
        address: Socket folder of a server started by hand with ``inpaint-transform serve``. With ``serving="ray"`` the
            cluster: ``"host:port"`` of its head, or ``"auto"`` (the default), the one that this machine belongs to.
        timeout_s: Longest wait in seconds for one answer of the shared server, in (0, 1e6]. Default 600.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> ModelSpec("sd15", steps=8).resolved().id
        'stable-diffusion-v1-5/stable-diffusion-inpainting'
    """

    id: str
    revision: str | None = None
    variant: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    size: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    lora: str | None = None
    vae: str | None = None
    controlnet: str | None = None
    clip: str | None = None
    compile: bool = False
    channels_last: bool | None = None
    safety_checker: bool = False
    max_batch_size: int | None = None
    max_wait_ms: float | None = None
    memory_fraction: float | None = None
    device_share: float | None = None
    reproducible: bool = False
    serving: str = "auto"
    address: str | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        for name in PLACES:
            if isinstance(value := getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(value))
        if not isinstance(self.id, str) or not self.id:
            raise ValueError(f"id={self.id!r}: give a preset name ({', '.join(PRESETS)}), a hub id or a folder")
        if not isinstance(self.device, str) or not (self.device in DEVICES or re.fullmatch("cuda:[0-9]+", self.device)):
            raise ValueError(f"device={self.device!r}: use one of {', '.join(DEVICES)} or cuda:N")
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("serving", self.serving, SERVING)
        if not isinstance(self.compile, bool):
            raise ValueError(f"compile={self.compile!r}: use True or False")
        if not isinstance(self.channels_last, bool | None):
            raise ValueError(f"channels_last={self.channels_last!r}: use True, False or None")
        if self.clip is not None and (not isinstance(self.clip, str) or not self.clip):
            raise ValueError(f"clip={self.clip!r}: give the folder or hub id of a CLIP model, 'tiny' or None")
        if self.address is not None and (not isinstance(self.address, str) or not self.address):
            raise ValueError(f"address={self.address!r}: give the folder that 'inpaint-transform serve' prints")
        if self.serving == "ray" and self.address is not None and not is_cluster_address(self.address):
            raise ValueError(
                f"address={self.address!r}: with serving='ray' give 'auto' or the 'host:port' that 'ray start --head'"
                " printed (not ray://, which is too slow for pixels)"
            )
        if self.address is not None and self.serving != "ray" and NETWORK_ADDRESS.match(self.address):
            raise ValueError(
                f"address={self.address!r}: a server is reached on its own machine only, by the folder that "
                f"'inpaint-transform serve' prints there; for painters on other machines use serving='ray'"
            )
        _at_least("size", self.size, 8, whole=True)
        _at_least("steps", self.steps, 1, whole=True)
        _at_least("guidance_scale", self.guidance_scale, 0)
        _at_least("max_batch_size", self.max_batch_size, 1, whole=True)
        _at_least("max_wait_ms", self.max_wait_ms, 0)
        for name in ("memory_fraction", "device_share"):
            share = getattr(self, name)
            if share is not None and not (isinstance(share, int | float) and 0 < share <= 1):
                raise ValueError(f"{name}={share!r}: use a share in (0, 1]")
        wait = self.timeout_s
        if wait is not None and not (isinstance(wait, int | float) and 0 < wait <= MAX_TIMEOUT_S):
            raise ValueError(f"timeout_s={wait!r}: use a number of seconds above 0 and at most {MAX_TIMEOUT_S:g}")

    @classmethod
    def of(cls, model: str | os.PathLike[str] | Mapping[str, Any] | ModelSpec) -> ModelSpec:
        """Read what a transform's ``model`` argument may be: a name, a path, a dict of fields or a spec.

        Raises:
            ValueError: It is something else, or the dict has an unknown field or lacks ``id``.
        """
        if isinstance(model, ModelSpec):
            return model
        if isinstance(model, str | os.PathLike):
            return cls(os.fspath(model))
        if not isinstance(model, Mapping):
            raise ValueError(
                f"model={shorten(model)}: give a preset ({', '.join(PRESETS)}), a hub id, a folder in the diffusers "
                f"layout, or a ModelSpec; a pipeline that is loaded already cannot be shared with workers, so save it "
                f"with save_pretrained(FOLDER) and give the folder"
            )
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(model) - set(known))
        if unknown or "id" not in model:
            problem = f"unknown field {unknown[0]!r}" if unknown else "no 'id'"
            raise ValueError(f"model={dict(model)!r}: {problem}; a model has the fields {', '.join(known)}")
        return cls(**model)

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from those of ``ModelSpec(id)``, as JSON scalars; ``ModelSpec.of`` reads it back."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(ModelSpec)
            if getattr(self, field.name) != field.default
        }

    def resolved(self) -> ResolvedSpec:
        """The spec with its preset's values and the library's defaults filled in; ``id`` is what diffusers loads."""
        preset = PRESETS.get(self.id)
        own = {name: value for name, value in self.to_dict().items() if name != "id" or preset is None}
        return ResolvedSpec(**{**(preset.to_dict() if preset else {}), **own})


@dataclass(frozen=True)
class ResolvedSpec(ModelSpec):
    """A spec in which nothing that the library decides is open any more; ``ModelSpec.resolved`` makes it."""

    steps: int = 20
    max_batch_size: int = 8
    max_wait_ms: float = 10.0
    timeout_s: float = 600.0

    def resolved(self) -> ResolvedSpec:
        """The spec itself."""
        return self


def rank_device(count: int) -> int:
    """Index of the CUDA device that belongs to this process's ``LOCAL_RANK``.

    Args:
        count: How many devices this process sees.

    Raises:
        ValueError: ``LOCAL_RANK`` is not a number.
    """
    rank = os.environ.get("LOCAL_RANK", "0")
    if not rank.isdecimal():
        raise ValueError(f"LOCAL_RANK={rank!r}: a launcher sets it to 0, 1, ...; unset it, or give device='cuda:N'")
    # A launcher that shows each rank one device only numbers it 0 whatever the rank: hence the remainder.
    return int(rank) % max(count, 1)


def is_cluster_address(address: str) -> bool:
    """Whether an address is that of a Ray cluster: ``"auto"`` or ``"host:port"``."""
    host, _, port = address.rpartition(":")
    named = re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) is not None
    return address == "auto" or (named and re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 65536)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: use one of {', '.join(allowed)}")


def _at_least(name: str, value: float | None, least: float, whole: bool = False) -> None:
    kind = int if whole else int | float
    if value is not None and not (isinstance(value, kind) and math.isfinite(value) and value >= least):
        raise ValueError(f"{name}={value!r}: use a {'whole ' if whole else ''}number of at least {least}")


PRESETS: dict[str, ModelSpec] = {name: ModelSpec(**fields) for name, fields in PRESET_FIELDS.items()}
