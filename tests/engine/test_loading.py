"""What the engine says when a model does not load, and what it loads all the same."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import pipelines
import pytest
import safetensors.torch
import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import Engine


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("sd") / "checkpoint")


def load(path: Path | str, **fields: Any) -> Engine:
    return Engine(ModelSpec(str(path), **{"device": "cpu", "steps": 2, **fields}))


# The checkpoint


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"id='.*nothing': there is no such folder.*preset \(tiny, sd15"):
        load(tmp_path / "nothing")


def test_a_misspelt_preset() -> None:
    with pytest.raises(FileNotFoundError, match=r"id='sd51': there is no such folder.*nor a preset"):
        load("sd51")


def test_a_folder_in_another_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder has no model_index.json; give a folder in the diffusers"):
        load(tmp_path)


def test_a_hub_id_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's library reads its own settings at import, hence not through the environment."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("somebody/some-model", "sd15"):
        with pytest.raises(InpaintError, match=r"id='[\w-]+/[\w-]+': no local folder .*HF_HUB_OFFLINE=1") as caught:
            load(name)
        assert re.search(r"hf download [\w-]+/[\w-]+ --local-dir FOLDER", str(caught.value))


def test_a_family_that_cannot_inpaint(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "PixArtAlphaPipeline"}))
    with pytest.raises(ValueError, match=r"this kind of checkpoint cannot inpaint .*PixArtAlphaPipeline"):
        load(tmp_path)


def test_a_class_that_this_diffusers_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "NextYearInpaintPipeline"}))
    with pytest.raises(ValueError, match="has no NextYearInpaintPipeline; upgrade diffusers"):
        load(tmp_path)


def test_weights_in_bin_files_only(tmp_path: Path) -> None:
    pipelines.save_sd_inpaint(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(safetensors.torch.load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ValueError, match=r"unet has .bin weights only, .*safe_serialization=True"):
        load(tmp_path)


def test_a_torn_index(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "Stable')
    with pytest.raises(ValueError, match=r"id=.*its model_index.json is no JSON"):
        load(tmp_path)


def test_a_torn_weight_file(tmp_path: Path) -> None:
    pipelines.save_sd_inpaint(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InpaintError, match=r"id=.*does not load"):
        load(tmp_path)


def test_a_text_to_image_checkpoint_loads_for_inpainting(tmp_path: Path) -> None:
    engine = load(pipelines.save_sd_text2image(tmp_path))
    assert isinstance(engine._pipeline, diffusers.StableDiffusionInpaintPipeline)


def test_a_folder_below_the_home_folder(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(sd.parent))
    monkeypatch.setenv("USERPROFILE", str(sd.parent))
    assert load(f"~/{sd.name}", vae=f"~/{sd.name}/vae").size == pipelines.SIZE


# Precision, variant, size


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_variant_is_optional_in_a_local_folder(variant: str | None, sd: Path) -> None:
    engine = load(sd, variant=variant)
    assert engine._pipeline.unet.dtype == torch.float32


def test_half_precision_weights_run_in_full_precision_on_the_cpu(sd: Path, tmp_path: Path) -> None:
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(sd)
    pipeline.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert not list(tmp_path.glob("unet/diffusion_pytorch_model.safetensors"))
    engine = load(tmp_path, variant="fp16")
    for part in (engine._pipeline.unet, engine._pipeline.vae, engine._pipeline.text_encoder):
        assert part.dtype == torch.float32


def test_another_precision_by_name(sd: Path) -> None:
    assert load(sd, dtype="bfloat16")._pipeline.unet.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("save", "size", "message"),
    [
        (
            pipelines.save_sd_inpaint,
            34,
            "size=34: a StableDiffusionInpaintPipeline works in steps of 4 pixels; use 32 or 36",
        ),
        (pipelines.save_sd3, 36, "size=36: a StableDiffusion3InpaintPipeline works in steps of 8 pixels; use 32 or 40"),
        (pipelines.save_flux, 36, "size=36: a FluxInpaintPipeline works in steps of 8 pixels; use 32 or 40"),
    ],
)
def test_a_size_between_cells(save: Any, size: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(save(tmp_path), size=size)


def test_loads_in_silence(sd: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(sd)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert diffusers.utils.logging.is_progress_bar_enabled()


# Parts


def test_an_unknown_scheduler(sd: Path) -> None:
    with pytest.raises(ValueError, match=r"scheduler='LMCScheduler': .*did you mean LCMScheduler"):
        load(sd, scheduler="LMCScheduler")


def test_a_scheduler_that_is_another_class_of_diffusers(sd: Path) -> None:
    with pytest.raises(ValueError, match=r"scheduler='UNet2DModel': .* no such scheduler"):
        load(sd, scheduler="UNet2DModel")


@pytest.mark.parametrize("field", ["vae", "lora"])
def test_a_missing_part(field: str, sd: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{field}='.*nothing': there is no such folder"):
        load(sd, **{field: str(tmp_path / "nothing")})


def test_a_vae_folder_that_is_none(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vae=.*the folder has no config.json"):
        load(sd, vae=str(tmp_path))
    with pytest.raises(ValueError, match=r"vae=.*holds a UNet2DConditionModel; use one of AutoencoderKL"):
        load(sd, vae=str(sd / "unet"))


def test_a_vae_for_another_model(sd: Path, tmp_path: Path) -> None:
    wide = pipelines.save_autoencoder_tiny(tmp_path / "wide", latent_channels=16)
    with pytest.raises(ValueError, match=r"vae=.* of an AutoencoderKL with 4 channels, this AutoencoderTiny makes 16"):
        load(sd, vae=str(wide))
    klein = pipelines.save_flux2_klein(tmp_path / "klein")
    with pytest.raises(ValueError, match=r"vae=.* of an AutoencoderKLFlux2 with 4 channels"):
        load(klein, vae=str(sd / "vae"))


def test_a_lora_folder_that_is_none(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lora=.*the folder has no .safetensors file"):
        load(sd, lora=str(tmp_path))
    with pytest.raises(ValueError, match=r"lora=.* is no LoRA for a StableDiffusionInpaintPipeline"):
        load(sd, lora=str(sd / "unet"))


def test_a_lora_for_another_model(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lora=.* is no LoRA for a StableDiffusionInpaintPipeline"):
        load(sd, lora=str(pipelines.save_sd_lora(tmp_path, channels=48)))


def test_a_lora_leaves_no_layers_behind(sd: Path, tmp_path: Path) -> None:
    """Fused at load time, given as a file."""
    folder = pipelines.save_sd_lora(tmp_path)
    plain = load(sd)._pipeline.unet.state_dict()
    fused = load(sd, lora=str(next(folder.glob("*.safetensors"))))._pipeline.unet.state_dict()
    assert plain.keys() == fused.keys()
    changed = [name for name in plain if not torch.equal(plain[name], fused[name])]
    assert changed == ["mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight"]


def test_a_safety_checker_that_the_checkpoint_lacks(sd: Path) -> None:
    with pytest.raises(ValueError, match=r"safety_checker=True: the checkpoint .* has none"):
        load(sd, safety_checker=True)
