"""LoRAs: whose each is, told by the names of its tensors before anything is loaded, and their weights in the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors
from safetensors import SafetensorError, safe_open

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine.sources import hub_options, load_error
from inpaint_transform.engine.weight_files import contents, never_read, pickled

# What diffusers writes, and so what most of the hub has.
FILE = "pytorch_lora_weights.safetensors"

STABLE_DIFFUSION, SDXL = "Stable Diffusion", "Stable Diffusion XL"
# Whose a LoRA is, by a part of one of its tensors' names; the first that is found. FLUX.2 names its parts as FLUX.1
# does, and Stable Diffusion 3 as Qwen-Image does, so what only one of two has comes first. Of the UNets only that of
# SDXL has several transformer blocks in a row.
FAMILIES: Sequence[tuple[str, str]] = (
    (r"lora_te2_|text_encoder_2\.text_model|attentions[._]\d+[._]transformer_blocks[._][1-9]", SDXL),
    (r"down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block", STABLE_DIFFUSION),
    (r"stream_modulation|to_qkv_mlp_proj", "FLUX.2"),
    (r"double_blocks|single_blocks|single_transformer_blocks", "FLUX"),
    (r"img_mlp|txt_mlp|img_mod|txt_mod", "Qwen-Image"),
    (r"joint_blocks|add_q_proj|to_add_out", "Stable Diffusion 3"),
    (r"context_refiner|noise_refiner|adaLN_modulation|feed_forward\.w|\.attention\.to_", "Z-Image"),
)
# The family of a pipeline, by how the name of its class begins; the longest first.
PIPELINES: Sequence[tuple[str, str]] = (
    ("StableDiffusionXL", SDXL),
    ("StableDiffusion3", "Stable Diffusion 3"),
    ("StableDiffusion", STABLE_DIFFUSION),
    ("Flux2", "FLUX.2"),
    ("Flux", "FLUX"),
    ("QwenImage", "Qwen-Image"),
    ("ZImage", "Z-Image"),
)
# Stable Diffusion 1, 2 and XL read text of other widths, in features.
WIDTHS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: SDXL}


def family_of(names: Sequence[str]) -> str | None:
    """For which family of models a LoRA with tensors of these names is; None where they do not tell."""
    return next((family for part, family in FAMILIES if any(re.search(part, name) for name in names)), None)


def family_of_pipeline(name: str) -> str | None:
    """The family of a diffusers class; None for one of which no LoRAs are told apart."""
    return next((family for start, family in PIPELINES if name.startswith(start)), None)


def text_width(shapes: Mapping[str, Sequence[int]]) -> int | None:
    """The width of the text that a LoRA of a UNet was trained with, in features; None where it does not tell."""
    for name, shape in shapes.items():
        reads_text = "attn2.to_k" in name or "attn2_to_k" in name
        if reads_text and len(shape) > 1 and (".lora_A" in name or "lora_down" in name or "lora.down" in name):
            return int(shape[1])
    return None


def check(spec: ModelSpec, pipeline: str, width: int | None) -> None:
    """Raise where a LoRA of the spec is none, or belongs to another architecture; only headers are read.

    Args:
        spec: A resolved spec.
        pipeline: The diffusers class that its checkpoint was saved as.
        width: The width of the text that its UNet reads, in features; None without a UNet.

    Raises:
        FileNotFoundError: A folder has no weights.
        ValueError: Names the LoRA, what it is, and the mend.
    """
    for where, _ in spec.loras:
        file = _file(where)
        if file is None:
            continue
        try:
            kind = contents(file)
        except ValueError as error:
            raise ValueError(f"lora={where!r}: {error}") from error
        if kind != "a LoRA":
            raise ValueError(f"lora={where!r} is no LoRA for a {pipeline}: it holds {kind}")
        shapes = _shapes(file)
        theirs, ours = family_of(list(shapes)), family_of_pipeline(pipeline)
        both = {theirs, ours}
        if None not in both and len(both) == 2 and not (theirs == STABLE_DIFFUSION and ours == SDXL):
            raise _other(where, str(theirs), spec.id, str(ours))
        trained = text_width(shapes)
        if trained is not None and width is not None and trained != width:
            raise _other(where, _of_width(trained), spec.id, _of_width(width))


def _other(where: str, theirs: str, model: str, ours: str) -> ValueError:
    return ValueError(
        f"lora={where!r} is a LoRA of another architecture: it belongs to {theirs}, and id={model!r} is {ours}; use a"
        f" LoRA that was trained for {ours}, or a model that this one was trained for"
    )


def _of_width(width: int) -> str:
    return WIDTHS.get(width, f"a Stable Diffusion that reads text of {width} features")


def _file(where: str) -> Path | None:
    """The file that diffusers will read; None where only diffusers can find it."""
    path = Path(where)
    if path.is_file():
        if pickled(where):
            raise ValueError(f"lora={where!r}: {never_read('LoRA')}")
        return path
    if path.is_dir():
        found = [path / FILE] if (path / FILE).is_file() else sorted(path.glob("*.safetensors"))
        if not found:
            raise FileNotFoundError(f"lora={where!r}: the folder has no .safetensors file, so it is no LoRA")
        return found[0]
    try:
        return Path(huggingface_hub.hf_hub_download(where, FILE, **hub_options(where)))
    except (OSError, ValueError, errors.EntryNotFoundError):
        return None  # under another name, or it cannot be reached, which is said when it is loaded


def _shapes(file: Path) -> dict[str, list[int]]:
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"{file} is torn ({error}); download it again") from error


def fuse(pipeline: Any, spec: ModelSpec) -> None:
    """Add the LoRAs' weights to the pipeline's own, so that they cost nothing afterwards.

    Raises:
        ValueError: One does not fit.
        InpaintError: The hub does not give one.
    """
    for where, weight in spec.loras:
        if not hasattr(pipeline, "load_lora_weights"):
            raise ValueError(f"lora={where!r}: a {type(pipeline).__name__} takes no LoRA")
        try:
            pipeline.load_lora_weights(where, use_safetensors=True, **hub_options(where))
        except OSError as error:
            raise load_error("lora", where, error) from error
        except (ValueError, KeyError, RuntimeError) as error:
            raise _does_not_fit(pipeline, where, str(error)) from error
        if not pipeline.get_active_adapters():
            raise _does_not_fit(pipeline, where, "none of its weights belongs to this model")
        pipeline.fuse_lora(lora_scale=weight)
        pipeline.unload_lora_weights()


def _does_not_fit(pipeline: Any, where: str, why: str) -> ValueError:
    return ValueError(f"lora={where!r} is no LoRA for a {type(pipeline).__name__}: {' '.join(why.split())}")
