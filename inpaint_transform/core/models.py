"""Which model paints: the validated specification; what its presets stand for is in ``presets``."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shorten
from typing import Any

from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.nearest import nearest_of
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.core.service import Service, at_least, one_of

DTYPES = ("auto", "float32", "float16", "bfloat16")
QUANTIZATIONS = ("int8",)

# A file or folder and how much of it, or a word and the file that teaches it.
Loras = str | Sequence[str | tuple[str, float]] | None
Words = Mapping[str, str] | Sequence[tuple[str, str]] | None

# The fields that may name a file or folder; they take a ``pathlib.Path`` too.
PLACES = ("id", "vae", "controlnet", "ip_adapter", "clip")
SWITCHES = ("compile", "safety_checker", "reproducible", "vae_tiling", "vae_slicing")


class _LeftOut:
    """The default of a field, which is told apart from the same value given by hand: only that undoes a preset's."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


_NONE: Any = _LeftOut(None)
_FALSE: Any = _LeftOut(False)
_AUTO: Any = _LeftOut("auto")


@dataclass(frozen=True)
class Model:
    """Which model, and how it paints: everything that decides about pixels.

    Attributes:
        id: Preset name (see ``PRESETS``), hub id, local diffusers folder, or a ``.safetensors`` file with a whole
            Stable Diffusion or SDXL checkpoint.
        revision: Branch, tag or commit of a hub repository.
        variant: Weight file variant of a checkpoint, for instance ``"fp16"``.
        dtype: ``"auto"`` (float16 on CUDA, float32 elsewhere), ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        quantize: ``"int8"`` keeps the denoiser's weights in eight bits, at half the memory of float16 and some detail;
            needs torchao (``pip install torchao``). None leaves them as they are.
        size: Side of the square working crop in pixels; a multiple of the model's latent cell. Default: the
            checkpoint's own size.
        steps: Denoising steps, >= 1. Default 20.
        guidance_scale: Classifier-free guidance, >= 0; 1 or less turns it off. Default: the pipeline's own.
        scheduler: Name of a diffusers scheduler class that replaces the checkpoint's, for instance
            ``"LCMScheduler"``.
        lora: LoRA folder, file or hub id, fused at load time; or several, each with its weight:
            ``[("style.safetensors", 0.6), "object.safetensors"]``.
        textual_inversion: Words that prompts may use, and the file, folder or hub id that teaches each:
            ``{"<my-cone>": "cone.safetensors"}``.
        vae: Folder or hub id of another autoencoder, for instance ``"madebyollin/taesd"``.
        vae_tiling: Encode and decode large crops tile by tile, which takes less memory and shows faint seams.
        vae_slicing: Encode and decode a batch one crop at a time, which takes less memory.
        controlnet: Folder or hub id of a ControlNet that reads Canny edges (for instance
            ``"lllyasviel/control_v11p_sd15_canny"``). What is painted then keeps the outlines of what was there; for
            Stable Diffusion and SDXL checkpoints.
        ip_adapter: What lets a Stable Diffusion or SDXL checkpoint see the ``reference`` of a transform: the hub id or
            folder of IP-Adapters (``"h94/IP-Adapter"``), or a ``.safetensors`` file of one with its ``image_encoder``
            folder beside it.
        ip_adapter_scale: How much it counts beside the prompt, >= 0. Default 0.6.
        clip: Folder or hub id of a transformers CLIP model that judges painted boxes (see ``gates.ClipGate``), or
            ``"tiny"``, the embedded one. It is loaded with the pipeline and stays beside it; a gate names its own,
            which is loaded at its first question, and needs nothing here.
        compile: Compile the denoiser and the autoencoder with ``torch.compile`` while the model loads, once for each
            of the batch sizes 1, 2, 4, ... ``max_batch_size``, to which batches are then padded. Loading takes
            minutes longer; worth it for long trainings on CUDA.
        channels_last: Keep weights in the channels-last memory format. Default: on CUDA only.
        safety_checker: Keep the checkpoint's safety checker; what it flags is rejected, never painted black.
        reproducible: Pad every pipeline call to ``max_batch_size``, so that a result does not depend on which
            requests shared its call.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.
    """

    id: str
    revision: str | None = _NONE
    variant: str | None = _NONE
    dtype: str = _AUTO
    quantize: str | None = _NONE
    size: int | None = _NONE
    steps: int | None = _NONE
    guidance_scale: float | None = _NONE
    scheduler: str | None = _NONE
    lora: Loras = _NONE
    textual_inversion: Words = _NONE
    vae: str | None = _NONE
    vae_tiling: bool = _FALSE
    vae_slicing: bool = _FALSE
    controlnet: str | None = _NONE
    ip_adapter: str | None = _NONE
    ip_adapter_scale: float | None = _NONE
    clip: str | None = _NONE
    compile: bool = _FALSE
    channels_last: bool | None = _NONE
    safety_checker: bool = _FALSE
    reproducible: bool = _FALSE

    @property
    def loras(self) -> tuple[tuple[str, float], ...]:
        """Every LoRA with its weight."""
        if self.lora is None or isinstance(self.lora, str):
            return () if self.lora is None else ((self.lora, 1.0),)
        return tuple((one, 1.0) if isinstance(one, str) else one for one in self.lora)

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """Every word of textual inversion with its place."""
        found = self.textual_inversion
        return tuple(found.items() if isinstance(found, Mapping) else found or ())

    def _check_model(self) -> None:
        for name in PLACES:
            if isinstance(value := getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(value))
        if not isinstance(self.id, str) or not self.id:
            raise ValueError(f"id={self.id!r}: give a preset name ({', '.join(PRESET_FIELDS)}), a hub id or a folder")
        object.__setattr__(self, "lora", _read_loras(self.lora))
        object.__setattr__(self, "textual_inversion", _read_words(self.textual_inversion))
        one_of("dtype", self.dtype, DTYPES)
        if self.quantize is not None:
            one_of("quantize", self.quantize, QUANTIZATIONS)
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: use True or False")
        if not isinstance(self.channels_last, bool | None):
            raise ValueError(f"channels_last={self.channels_last!r}: use True, False or None")
        if self.clip is not None and (not isinstance(self.clip, str) or not self.clip):
            raise ValueError(f"clip={self.clip!r}: give the folder or hub id of a CLIP model, 'tiny' or None")
        if self.ip_adapter is not None and (not isinstance(self.ip_adapter, str) or not self.ip_adapter):
            raise ValueError(f"ip_adapter={self.ip_adapter!r}: give a hub id, for instance 'h94/IP-Adapter', or None")
        at_least("size", self.size, 8, whole=True)
        at_least("steps", self.steps, 1, whole=True)
        at_least("guidance_scale", self.guidance_scale, 0)
        at_least("ip_adapter_scale", self.ip_adapter_scale, 0)


@known_fields
@dataclass(frozen=True)
class ModelSpec(Service, Model):
    """A diffusers inpainting model and how to run it: the fields of ``Model`` and those of ``Service``.

    Every field is a JSON value, so a spec serialises, compares and hashes. A field that is left out takes the preset's
    value where ``id`` names a preset, and the library's or the checkpoint's default otherwise. A field that is given
    counts also where it is None: ``ModelSpec("sd15", variant=None)`` undoes the preset's ``"fp16"``.

    Attributes:
        undone: The fields whose preset's value is undone; the constructor finds them, and copies keep them.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> ModelSpec("sd15", steps=8).resolved().id
        'stable-diffusion-v1-5/stable-diffusion-inpainting'
        >>> ModelSpec("sd15", variant=None)
        ModelSpec(id='sd15', variant=None)
    """

    undone: frozenset[str] | None = None

    def __post_init__(self) -> None:
        given = set()
        for one in dataclasses.fields(Model):
            value = getattr(self, one.name)
            if isinstance(value, _LeftOut):
                object.__setattr__(self, one.name, value.value)
            elif isinstance(one.default, _LeftOut) and value == one.default.value:
                given.add(one.name)
        self._check_model()
        self._check_service()
        if self.compile and self.offload is not None:
            raise ValueError(
                f"offload={self.offload!r}: use one of offload and compile=True, for what moves is not compiled"
            )
        # A copy is given every field by its name, and what was undone before.
        undone = given & PRESET_FIELDS.get(self.id, {}).keys() if self.undone is None else given & self.undone
        object.__setattr__(self, "undone", frozenset(undone))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"{type(self).__name__}({fields})"

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
        unknown = sorted(set(model) - set(FIELDS))
        if unknown or "id" not in model:
            problem = f"unknown field {unknown[0]!r}" if unknown else "no 'id'"
            meant = nearest_of(model, [*FIELDS])
            raise ValueError(f"model={dict(model)!r}: {problem}; a model has the fields {', '.join(FIELDS)}{meant}")
        return cls(**model)

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from those of ``ModelSpec(id)``, as JSON values; ``ModelSpec.of`` reads it back."""
        return {
            name: as_json(name, value)
            for name, default in FIELDS.items()
            if (value := getattr(self, name)) != default or name in (self.undone or ())
        }

    def resolved(self) -> ResolvedSpec:
        """The spec with its preset's values and the library's defaults filled in; ``id`` is what diffusers loads."""
        preset = PRESET_FIELDS.get(self.id, {})
        own = {name: value for name, value in self.to_dict().items() if name != "id" or not preset}
        fields = {**preset, **own}
        return ResolvedSpec(**{name: value for name, value in fields.items() if name not in (self.undone or ())})


@known_fields
@dataclass(frozen=True, repr=False)
class ResolvedSpec(ModelSpec):
    """A spec in which nothing that the library decides is open any more; ``ModelSpec.resolved`` makes it."""

    steps: int = 20
    max_batch_size: int = 8
    max_wait_ms: float = 10.0
    timeout_s: float = 600.0

    def resolved(self) -> ResolvedSpec:
        """The spec itself."""
        return self


def _read_loras(given: Any) -> str | tuple[tuple[str, float], ...] | None:
    """One place as it is; several, or one with a weight, as pairs."""
    if given is None or isinstance(given, str | os.PathLike):
        places: list[tuple[str, float]] = [] if given is None else [(_place("lora", given), 1.0)]
    elif isinstance(given, Sequence):
        places = [_read_pair(given, one) for one in given]
    else:
        raise _no_lora(given)
    if len(places) == 1 and places[0][1] == 1.0:
        return places[0][0]
    return tuple(places) or None


def _read_pair(given: Any, one: Any) -> tuple[str, float]:
    place, weight = one if isinstance(one, tuple | list) and len(one) == 2 else (one, 1.0)
    number = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
    if not isinstance(place, str | os.PathLike) or not number:
        raise _no_lora(given)
    return _place("lora", place), float(weight)


def _no_lora(given: Any) -> ValueError:
    return ValueError(
        f"lora={given!r}: give a file, folder or hub id, or a list of them, each alone or with its weight, e.g. "
        f"[('style.safetensors', 0.6)]"
    )


def _read_words(given: Any) -> tuple[tuple[str, str], ...] | None:
    pairs = tuple(given.items()) if isinstance(given, Mapping) else given
    if pairs is None or pairs == ():
        return None
    if not isinstance(pairs, tuple) or not all(_is_word(pair[0]) for pair in pairs):
        raise ValueError(
            f"textual_inversion={given!r}: give {{word: file}}, e.g. {{'<my-cone>': 'cone.safetensors'}}, each word "
            f"without spaces"
        )
    return tuple((word, _place("textual_inversion", place)) for word, place in pairs)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and word.split() == [word]


def _place(name: str, place: Any) -> str:
    if not isinstance(place, str | os.PathLike) or not os.fspath(place):
        raise ValueError(f"{name}={place!r}: give a file, a folder or a hub id")
    return str(os.fspath(place))


def as_json(name: str, value: Any) -> Any:
    """A field's value as JSON has it."""
    if name == "lora" and isinstance(value, tuple):
        return [list(pair) for pair in value]
    return dict(value) if name == "textual_inversion" and value is not None else value


# Specs are written down in the order of before, so that what is written again is the same text. Newer fields follow.
_WRITTEN = (
    *("id", "revision", "variant", "device", "dtype", "size", "steps", "guidance_scale", "scheduler", "lora", "vae"),
    *("controlnet", "clip", "compile", "channels_last", "safety_checker", "max_batch_size", "max_wait_ms"),
    *("memory_fraction", "device_share", "reproducible", "serving", "address", "timeout_s"),
)
_HALVES = {one.name: one.default for half in (Model, Service) for one in dataclasses.fields(half)}
# What ``ModelSpec(id)`` has in each field where ``id`` is no preset.
FIELDS: dict[str, Any] = {
    name: default.value if isinstance(default := _HALVES[name], _LeftOut) else default
    for name in dict.fromkeys((*_WRITTEN, *_HALVES))
}
PRESETS: dict[str, ModelSpec] = {name: ModelSpec(**fields) for name, fields in PRESET_FIELDS.items()}
