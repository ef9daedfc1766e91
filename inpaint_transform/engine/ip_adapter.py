"""IP-Adapters: they let Stable Diffusion and SDXL see a picture beside the prompt, through diffusers' own loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.engine.sources import hub_options, load_error
from inpaint_transform.engine.weight_files import contents, never_read, pickled

ENCODER = "image_encoder"
KIND = "an IP-Adapter"
# Where ``h94/IP-Adapter``, and what was copied from it, has the adapter for a family: folder and file, by how the name
# of the pipeline's class begins; the longest first.
LAYOUTS = (
    ("StableDiffusionXL", "sdxl_models", "ip-adapter_sdxl.safetensors"),
    ("StableDiffusion3", "", ""),
    ("StableDiffusion", "models", "ip-adapter_sd15.safetensors"),
)


def check(where: str, pipeline: str) -> None:
    """Raise where no IP-Adapter can be loaded from a place into a checkpoint; before anything large is loaded.

    Args:
        where: What ``ModelSpec.ip_adapter`` names; it exists, or is a hub id.
        pipeline: The diffusers class that the checkpoint was saved as.

    Raises:
        FileNotFoundError: Its weights or its image encoder are not where they should be.
        ValueError: The file is something else, or the checkpoint takes none.
    """
    subfolder, name = _layout(where, pipeline)
    path = Path(where)
    if path.is_file():
        if pickled(where):
            raise ValueError(f"ip_adapter={where!r}: {never_read('IP-Adapter')}")
        _check_contents(where, path)
    elif path.is_dir():
        file = path / subfolder / name
        if not file.is_file():
            raise FileNotFoundError(
                f"ip_adapter={where!r}: there is no {subfolder}/{name} in it; give the folder as h94/IP-Adapter has"
                f" it, or the .safetensors file of one with its {ENCODER} folder beside it"
            )
        _check_contents(where, file)
    if path.exists() and not (path.parent if path.is_file() else path / subfolder).joinpath(ENCODER).is_dir():
        raise FileNotFoundError(
            f"ip_adapter={where!r}: there is no folder {ENCODER} beside the weights; copy the one of h94/IP-Adapter"
        )


def _check_contents(where: str, file: Path) -> None:
    try:
        kind = contents(file)
    except ValueError as error:
        raise ValueError(f"ip_adapter={where!r}: {error}") from error
    if kind != KIND:
        raise ValueError(f"ip_adapter={where!r} is no IP-Adapter: it holds {kind}")


def _layout(where: str, pipeline: str) -> tuple[str, str]:
    found = next(((folder, name) for start, folder, name in LAYOUTS if pipeline.startswith(start)), ("", ""))
    if not found[1]:
        raise ValueError(
            f"ip_adapter={where!r}: IP-Adapters are for Stable Diffusion and SDXL, and this is a {pipeline}; use"
            " ip_adapter=None (flux2-klein sees a reference without one)"
        )
    return found


def attach(pipeline: Any, where: str) -> None:
    """Load an IP-Adapter and its image encoder into a pipeline.

    Raises:
        ValueError: It was trained for another architecture.
        InpaintError: It does not load, or the hub does not give it.
    """
    path = Path(where)
    if path.is_file():
        place, subfolder, name = str(path.parent), "", path.name
        _check_width(pipeline, where, path)
    else:
        place, (subfolder, name) = where, _layout(where, type(pipeline).__name__)
        if path.is_dir():
            _check_width(pipeline, where, path / subfolder / name)
    try:
        pipeline.load_ip_adapter(place, subfolder=subfolder, weight_name=name, **hub_options(where))
    except Exception as error:  # whatever three libraries raise
        if path.exists():
            said = " ".join(str(error).split())
            raise InpaintError(f"ip_adapter={where!r} does not load: {said}") from error
        raise load_error("ip_adapter", where, error) from error


def _check_width(pipeline: Any, where: str, file: Path) -> None:
    """Raise where an adapter was trained for a UNet that reads text of another width."""
    with safe_open(file, "pt") as opened:
        name = next((name for name in opened.keys() if name.endswith(".to_k_ip.weight")), None)  # noqa: SIM118
        theirs = opened.get_slice(name).get_shape()[1] if name else None
    ours = pipeline.unet.config.cross_attention_dim
    if theirs is not None and theirs != ours:
        raise ValueError(
            f"ip_adapter={where!r} was trained for another architecture: for text of {theirs} features, and this model"
            f" reads {ours}; use the one for this model"
        )
