"""From a ``ModelSpec`` to a diffusers pipeline on its device."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from packaging.version import Version

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import footprint, ip_adapter, loras, words
from inpaint_transform.engine.devices import choose_device, choose_dtype, limit_memory
from inpaint_transform.engine.out_of_memory import explained
from inpaint_transform.engine.quiet import quiet
from inpaint_transform.engine.single_file import VAE as SINGLE_FILE_VAE
from inpaint_transform.engine.single_file import SingleFile, recognise
from inpaint_transform.engine.sources import check_place, hub_options, load_error, read_config

logger = logging.getLogger(__name__)

# Checkpoint classes that AutoPipelineForInpainting of diffusers 0.42 does not map although they can inpaint. Chroma is
# not among them: its inpainting class asks the transformer for a setting that this transformer does not have.
UNMAPPED = {
    "FluxFillPipeline": "FluxFillPipeline",
    "FluxKontextPipeline": "FluxKontextInpaintPipeline",
    "Flux2KleinPipeline": "Flux2KleinInpaintPipeline",
}
# The fields of a spec that may name a folder each.
PLACES = ("id", "vae", "controlnet", "ip_adapter")
# The class that inpaints with a ControlNet, by the class that a checkpoint was saved as.
CONTROLLED = {
    "StableDiffusionPipeline": "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionInpaintPipeline": "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLControlNetInpaintPipeline",
    "StableDiffusionXLInpaintPipeline": "StableDiffusionXLControlNetInpaintPipeline",
}
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny", "AsymmetricAutoencoderKL")
# Renamed in diffusers 0.40; the old name warns there and the new one is ignored before.
DTYPE_ARGUMENT = "dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype"


def load(spec: ModelSpec) -> tuple[Any, torch.device]:
    """Load the pipeline that a spec names and put it on its device.

    Args:
        spec: A resolved spec.

    Returns:
        The diffusers pipeline, in evaluation mode and silent, and its device.

    Raises:
        FileNotFoundError: A field names a folder that does not exist or is not what it should be.
        ValueError: The checkpoint cannot inpaint, or a field does not fit it.
        InpaintError: The hub cannot be reached, or the weights do not load or do not fit into memory.
    """
    spec = _with_home_folder(spec)
    for argument, where in _places(spec):  # before anything is downloaded
        check_place(argument, where)
    device = choose_device(spec.device)
    dtype = choose_dtype(spec.dtype, device)
    limit_memory(spec.memory_fraction, device)
    with explained(
        f"id={spec.id!r} does not fit into the memory of {device}: use offload='model', quantize='int8', a smaller"
        " model, dtype='float16', a larger memory_fraction, or a device with more free memory"
    ):
        with quiet():
            pipeline = _load_pipeline(spec, dtype)
            if spec.scheduler is not None:
                pipeline.scheduler = _scheduler_class(spec.scheduler).from_config(pipeline.scheduler.config)
            loras.fuse(pipeline, spec)
            words.teach(pipeline, spec)
            if spec.ip_adapter is not None:
                ip_adapter.attach(pipeline, spec.ip_adapter)
            footprint.shrink(pipeline, spec)
        footprint.check(pipeline, spec, device)
        footprint.place(pipeline, spec, device)
    pipeline.set_progress_bar_config(disable=True)
    if hasattr(pipeline, "watermark"):
        # SDXL writes an invisible watermark where that package is installed; training data should not carry one.
        pipeline.watermark = None
    return pipeline, device


def _with_home_folder(spec: ModelSpec) -> ModelSpec:
    def expand(path: str) -> str:
        return str(Path(path).expanduser()) if path.startswith("~") else path

    changed: dict[str, Any] = {name: expand(where) for name in PLACES if (where := getattr(spec, name)) is not None}
    changed["lora"] = [(expand(where), weight) for where, weight in spec.loras]
    changed["textual_inversion"] = {word: expand(where) for word, where in spec.words}
    return dataclasses.replace(spec, **changed)


def _places(spec: ModelSpec) -> list[tuple[str, str]]:
    """Every place that a spec names, with the field that names it."""
    found = [(name, where) for name in PLACES if (where := getattr(spec, name)) is not None]
    found += [("lora", where) for where, _ in spec.loras]
    return [*found, *(("textual_inversion", where) for _, where in spec.words)]


def _load_pipeline(spec: ModelSpec, dtype: torch.dtype) -> Any:
    single = recognise(spec.id) if Path(spec.id).is_file() else None
    if single is None:
        index = read_config("id", spec.id, diffusers.DiffusionPipeline.config_name, spec.revision)
        arguments = {**_arguments(spec.id, dtype), "revision": spec.revision}
    else:
        index, arguments = single.index(), {DTYPE_ARGUMENT: dtype}
    name = index.get("_class_name", "")
    loader = _loader(name, spec)
    if spec.loras:
        loras.check(spec, name, _text_width(spec, single, index))
    if spec.ip_adapter is not None:
        ip_adapter.check(spec.ip_adapter, name)
    if spec.controlnet is not None:
        arguments["controlnet"] = _load_controlnet(spec.controlnet, dtype)
    if spec.vae is not None:
        own = SINGLE_FILE_VAE if single is not None else _config_of(spec, "vae", diffusers.AutoencoderKL)
        arguments["vae"] = _load_vae(spec, spec.vae, dtype, own)
    if spec.safety_checker and (index.get("safety_checker") or [None])[0] is None:
        raise ValueError(f"safety_checker=True: the checkpoint {spec.id!r} has none; use safety_checker=False")
    if "safety_checker" in index and not spec.safety_checker:
        arguments.update(safety_checker=None, requires_safety_checker=False)
    if single is not None:
        return single.load(loader, arguments)
    try:
        return _from_pretrained(loader, spec.id, _present_variant(spec), arguments)
    except Exception as error:  # whatever a dozen loaders of three libraries raise
        raise load_error("id", spec.id, error) from error


def _text_width(spec: ModelSpec, single: SingleFile | None, index: Mapping[str, Any]) -> int | None:
    """The width of the text that the checkpoint's UNet reads; None where it has none."""
    if single is not None:
        return single.text_width
    if "unet" not in index:
        return None
    config = _config_of(spec, "unet", diffusers.UNet2DConditionModel)
    width = config.get("cross_attention_dim")
    return width if isinstance(width, int) else None


def _config_of(spec: ModelSpec, part: str, loader: Any) -> dict[str, Any]:
    """What a part of the checkpoint is, before its weights are loaded."""
    try:
        return dict(loader.load_config(spec.id, subfolder=part, revision=spec.revision, **hub_options(spec.id)))
    except Exception as error:  # as in _load_pipeline
        raise load_error("id", spec.id, error) from error


def _arguments(where: str, dtype: torch.dtype) -> dict[str, Any]:
    """What every loader of diffusers is told."""
    return {DTYPE_ARGUMENT: dtype, "use_safetensors": True, **hub_options(where)}


def _from_pretrained(loader: Any, where: str, variant: str | None, arguments: dict[str, Any]) -> Any:
    try:
        return loader.from_pretrained(where, variant=variant, **arguments)
    except (OSError, ValueError) as error:
        if variant is None or "variant" not in str(error):
            raise
        logger.info("%s has no %r variant; loading its plain weights", where, variant)
    return loader.from_pretrained(where, **arguments)


def _loader(name: str, spec: ModelSpec) -> Any:
    """The diffusers class that loads a checkpoint saved as class ``name`` for inpainting."""
    where = spec.id
    if spec.controlnet is not None:
        if name not in CONTROLLED:
            raise ValueError(
                f"controlnet={spec.controlnet!r}: {where!r} is a {name}; use a Stable Diffusion or SDXL checkpoint, or"
                " controlnet=None"
            )
        return getattr(diffusers, CONTROLLED[name])
    target = name if "Inpaint" in name else UNMAPPED.get(name)
    if target is None:
        return diffusers.AutoPipelineForInpainting
    cls = getattr(diffusers, target, None)
    if cls is None:
        raise ValueError(f"id={where!r}: diffusers {diffusers.__version__} has no {target}; upgrade diffusers")
    return cls


def _present_variant(spec: ModelSpec) -> str | None:
    """The variant to ask for: none where a local folder has no such files. The hub is asked for it first."""
    folder = Path(spec.id)
    if spec.variant and folder.is_dir() and not any(folder.glob(f"*/*.{spec.variant}*.safetensors")):
        return None
    return spec.variant


def _load_controlnet(where: str, dtype: torch.dtype) -> Any:
    name = read_config("controlnet", where, diffusers.ControlNetModel.config_name).get("_class_name")
    if name != "ControlNetModel":
        raise ValueError(f"controlnet={where!r}: holds a {name}; use a ControlNetModel that was trained on Canny edges")
    try:
        return diffusers.ControlNetModel.from_pretrained(where, **_arguments(where, dtype))
    except Exception as error:  # as in _load_pipeline
        raise load_error("controlnet", where, error) from error


def _load_vae(spec: ModelSpec, where: str, dtype: torch.dtype, own: Mapping[str, Any]) -> Any:
    name = read_config("vae", where, diffusers.AutoencoderKL.config_name).get("_class_name")
    if name not in AUTOENCODERS:
        raise ValueError(f"vae={where!r}: holds a {name}; use one of {', '.join(AUTOENCODERS)}")
    try:
        vae = getattr(diffusers, name).from_pretrained(where, **_arguments(where, dtype))
    except Exception as error:  # as in _load_pipeline
        raise load_error("vae", where, error) from error
    if own["_class_name"] not in AUTOENCODERS or own["latent_channels"] != vae.config.latent_channels:
        raise ValueError(
            f"vae={where!r}: {spec.id!r} works on the latents of an {own['_class_name']} with"
            f" {own.get('latent_channels', 'other')} channels, this {name} makes {vae.config.latent_channels}; use one"
            " that was made for this checkpoint"
        )
    return vae


def _scheduler_class(name: str) -> Any:
    cls = getattr(diffusers, name, None)
    if inspect.isclass(cls) and issubclass(cls, diffusers.SchedulerMixin):
        return cls
    known = [other for other in dir(diffusers) if other.endswith("Scheduler")]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise ValueError(
        f"scheduler={name!r}: diffusers {diffusers.__version__} has no such scheduler; did you mean"
        f" {', '.join(close) or 'DDIMScheduler, LCMScheduler or EulerDiscreteScheduler'}?"
    )
