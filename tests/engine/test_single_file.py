"""Checkpoints in a single file paint as the folder that they were made from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import original
import pipelines
import pytest
import torch
from safetensors.torch import save_file

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.engine import Engine
from inpaint_transform.engine.single_file import CONFIGS, recognise

UNET = "model.diffusion_model.input_blocks.0.0.weight"


def paint(path: Path, **fields: Any) -> np.ndarray:
    engine = Engine(ModelSpec(str(path), device="cpu", steps=2, **fields))
    size = engine.size
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    mask = np.zeros((size, size), bool)
    mask[size // 4 : size // 2, size // 4 : size // 2] = True
    [result] = engine.paint([InpaintRequest(image, mask, "a cone", seed=1)])
    assert result.image is not None
    return result.image


@pytest.mark.parametrize("save", [pipelines.save_sd_inpaint, pipelines.save_sd_text2image])
@pytest.mark.parametrize("beside", [True, False])
def test_a_file_paints_as_its_folder(save: Any, beside: bool, tmp_path: Path) -> None:
    """Its small files lie in a folder of its name, or around it."""
    folder = save(tmp_path / "photo")
    file = original.save_original(folder, (tmp_path if beside else folder) / "photo.safetensors")
    expected = paint(folder)
    for weights in [*folder.glob("*/*.safetensors")]:
        weights.unlink()
    assert np.array_equal(paint(file), expected)


def test_parts_of_ones_own_go_with_a_file(tmp_path: Path) -> None:
    folder = pipelines.save_sd_inpaint(tmp_path / "photo")
    file = original.save_original(folder, tmp_path / "photo.safetensors")
    plain = paint(file)
    lora = next(pipelines.save_sd_lora(tmp_path / "lora").glob("*.safetensors"))
    vae = pipelines.save_autoencoder_tiny(tmp_path / "vae")
    net = pipelines.save_controlnet(tmp_path / "net")
    for fields in ({"lora": str(lora)}, {"vae": str(vae)}, {"controlnet": str(net)}):
        assert not np.array_equal(paint(file, **fields), plain), fields
    with pytest.raises(ValueError, match="safety_checker=True: the checkpoint .* has none"):
        paint(file, safety_checker=True)
    wide = pipelines.save_autoencoder_tiny(tmp_path / "wide", latent_channels=16)
    with pytest.raises(ValueError, match="of an AutoencoderKL with 4 channels, this AutoencoderTiny makes 16"):
        paint(file, vae=str(wide))


def file_with(folder: Path, channels: int, *names: str) -> str:
    weights = {UNET: torch.zeros(2, channels, 3, 3), **{name: torch.zeros(1) for name in names}}
    save_file(weights, folder / "some.safetensors")
    return str(folder / "some.safetensors")


@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("SD1", "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"),
        ("SD2", "cond_stage_model.model.transformer.resblocks.0.ln_1.bias"),
        ("SDXL", "conditioner.embedders.1.model.ln_final.weight"),
    ],
)
def test_families_are_told_apart(family: str, name: str, channels: int, tmp_path: Path) -> None:
    found = recognise(file_with(tmp_path, channels, name))
    assert (found.family, found.channels) == (family, channels)
    assert ("XL" in found.index()["_class_name"]) == (family == "SDXL")
    assert (family, channels) in CONFIGS


@pytest.mark.parametrize(
    "weights",
    [
        {UNET: torch.zeros(2, 8, 3, 3)},
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": torch.zeros(1)},
        {"double_blocks.0.img_attn.qkv.weight": torch.zeros(1)},
    ],
)
def test_other_families_are_named_and_refused(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "some.safetensors")
    with pytest.raises(ValueError, match="of single files only Stable Diffusion 1, 2 and XL"):
        paint(tmp_path / "some.safetensors")


def test_without_network_it_is_said_which_small_files_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InpaintError, match=r"single file lacks.*hf download stable-diffusion-v1-5/.*--local-dir some`"):
        paint(Path(file_with(tmp_path, 9)))


def test_a_file_that_is_no_whole_checkpoint(tmp_path: Path) -> None:
    shutil.copytree(pipelines.save_sd_inpaint(tmp_path / "a"), tmp_path / "some")
    with pytest.raises(InpaintError, match="does not load with the files in"):
        paint(Path(file_with(tmp_path, 9)))
