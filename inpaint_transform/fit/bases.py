"""Bases: what a model to start from is, and whether it can be fitted at all."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.fit.precision import fast_dtype
from inpaint_transform.serving import known_words

logger = logging.getLogger(__name__)

NOTHING = "none"
CARD = "fit.json"
INPAINTING_CLASSES = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
SUPPORTED = (
    "a LoRA can be fitted to 9-channel inpainting checkpoints of Stable Diffusion 1.x, 2.x and SDXL (presets sd15, sd2,"
    " sdxl), all weights to base 'tiny' or 'none'"
)


@dataclass(frozen=True)
class Base:
    """What is trained.

    Attributes:
        spec: The resolved model; None for nothing.
        whole: Whether all of its weights are trained; a LoRA otherwise.
    """

    spec: ModelSpec | None
    whole: bool


def find_base(base: str) -> Base:
    """Say what a base is, without loading its weights.

    Args:
        base: ``"none"``, a preset, a hub id, or a diffusers folder. All weights of ``"tiny"`` are trained, and of a
            folder that fit wrote in this way or that names its few words; other checkpoints get a LoRA.

    Raises:
        ValueError: It cannot be fitted; the message says what can.
        FileNotFoundError: There is no such folder.
        InpaintError: The hub did not give its configuration.
    """
    if base == NOTHING:
        return Base(None, whole=True)
    base = str(Path(base).expanduser()) if base.startswith("~") else base
    spec = ModelSpec(base).resolved()
    folder = Path(spec.id)
    if base == "tiny" or read_card(folder).get("weights") == "all" or known_words.words_of(spec) is not None:
        return Base(spec, whole=True)
    if read_card(folder).get("weights") == "LoRA":
        raise ValueError(
            f"base={base!r}: holds a LoRA that fit has trained; to go on with it give its base, and this folder as out"
        )
    if folder.exists() and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"base={base!r}: the folder has no model_index.json; give one in the diffusers layout")
    if spec.lora is not None:
        raise ValueError(f"base={base!r}: has a LoRA fused already, which yours would not go with; use its plain form")
    try:
        index = diffusers.DiffusionPipeline.load_config(spec.id, revision=spec.revision)
    except (OSError, ValueError) as error:
        raise InpaintError(
            f"base={base!r}: no such folder, and neither a preset ({', '.join(PRESETS)}, none) nor what the hub gives "
            f"({' '.join(str(error).split())})"
        ) from error
    name = str(index.get("_class_name"))
    if "unet" not in index or not name.startswith("StableDiffusion"):
        raise ValueError(f"base={base!r}: a {name} cannot be fitted; {SUPPORTED}")
    unet = diffusers.UNet2DConditionModel.load_config(spec.id, subfolder="unet", revision=spec.revision)
    if unet["in_channels"] != 9 or name not in INPAINTING_CLASSES:
        raise ValueError(
            f"base={base!r}: a {name} whose denoiser takes {unet['in_channels']} channels was not trained to "
            f"inpaint and cannot be fitted; {SUPPORTED}"
        )
    return Base(spec, whole=False)


def load(spec: ModelSpec, device: str, whole: bool) -> Any:
    """The pipeline of a base, on its device; or in full precision on the CPU where all of its weights are trained.

    Raises:
        InpaintError: It does not load.
    """
    # By name, as the serving loads it: this room knows the engine's front door only.
    loading = importlib.import_module("inpaint_transform.engine.loading")
    where = choose_device("cpu" if whole else device)
    # What only serves as a base may have fewer bits, but only on a GPU is that less work.
    dtype = fast_dtype(where) if where.type == "cuda" else torch.float32
    chosen = dataclasses.replace(spec, device=str(where), dtype=str(dtype).removeprefix("torch."))
    with quiet():
        pipeline, _ = loading.load(chosen)
    return pipeline


def quiet() -> contextlib.AbstractContextManager[None]:
    """While it lasts, diffusers and transformers show no progress bars and make no remarks."""
    hushed: contextlib.AbstractContextManager[None] = importlib.import_module("inpaint_transform.engine.quiet").quiet()
    return hushed


def choose_device(device: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``mps`` means here."""
    found: torch.device = importlib.import_module("inpaint_transform.engine.devices").choose_device(device)
    return found


def release(device: torch.device) -> None:
    """Give memory that nothing refers to any more back to the device: the engine counts what is free there."""
    importlib.import_module("inpaint_transform.engine.out_of_memory").release(device)


def check_prompts(pipeline: Any, prompts: Iterable[str]) -> None:
    """Refuse prompts of which a pipeline would not read the end.

    Raises:
        ValueError: Names the prompt, its length and the limit.
    """
    limit = importlib.import_module("inpaint_transform.engine.embeddings").TokenLimit(pipeline)
    for prompt in prompts:
        limit.check("prompts", prompt)


def read_card(folder: Path) -> dict[str, Any]:
    """What fit wrote about a model; empty where it wrote nothing."""
    path = folder / CARD
    card: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return card
