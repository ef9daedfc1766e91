"""A weight file where a folder is wanted: it is said what the file is, and where it goes."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pipelines
import pytest
import torch
from safetensors.torch import save_file

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import Engine
from inpaint_transform.engine.weight_files import contents


def file_with(folder: Path, *names: str) -> Path:
    file = folder / "some.safetensors"
    save_file({name: torch.zeros(2) for name in names}, file)
    return file


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.x", "cond_stage_model.y"], "checkpoint"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], "checkpoint"),
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], "LoRA"),
        (["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], "LoRA"),
        (["transformer.single_blocks.0.attn.to_k.lora_B.weight"], "LoRA"),
        (["first_stage_model.decoder.conv_in.weight"], "VAE"),
        (["decoder.up.0.block.0.conv1.weight", "encoder.down.0.block.0.conv1.weight"], "VAE"),
        (["text_model.encoder.layers.0.layer_norm1.bias"], "text encoder"),
        (["control_model.input_blocks.0.0.bias"], "ControlNet"),
        (["emb_params"], "textual inversion"),
        (["rows"], "something else"),
    ],
)
def test_what_a_file_holds(names: list[str], words: str, tmp_path: Path) -> None:
    assert words in contents(file_with(tmp_path, *names))


def test_the_parts_of_a_real_pipeline(tmp_path: Path) -> None:
    folder = pipelines.save_sd_inpaint(tmp_path / "sd")
    lora = pipelines.save_sd_lora(tmp_path / "lora")
    assert contents(folder / "vae" / "diffusion_pytorch_model.safetensors") == "an autoencoder (VAE)"
    assert contents(folder / "unet" / "diffusion_pytorch_model.safetensors") == "a denoiser alone"
    assert contents(folder / "text_encoder" / "model.safetensors") == "a text encoder"
    assert contents(next(lora.glob("*.safetensors"))) == "a LoRA"
    diffusers.ControlNetModel.from_pretrained(pipelines.save_controlnet(tmp_path / "net"))
    assert contents(tmp_path / "net" / "diffusion_pytorch_model.safetensors") == "a ControlNet"


def refused(**fields: str) -> str:
    with pytest.raises(ValueError, match="=") as caught:
        Engine(ModelSpec(**{"id": "tiny", "device": "cpu", **fields}))
    return str(caught.value)


def test_it_is_said_where_it_goes(tmp_path: Path) -> None:
    lora = str(file_with(tmp_path, "a.lora_down.weight"))
    assert (
        refused(id=lora)
        == f"id={lora!r} is a LoRA, which changes a model and is none; give it as lora={lora!r} beside id"
    )
    checkpoint = str(file_with(tmp_path, "model.diffusion_model.a"))
    assert refused(vae=checkpoint).endswith(f"whole checkpoint in a single file; give it as id={checkpoint!r}")
    said = refused(id=str(file_with(tmp_path, "first_stage_model.a")))
    assert "holds an autoencoder (VAE)" in said
    assert said.endswith("vae=FOLDER")
    assert "vae=" in refused(vae=lora)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".zip"])
def test_a_pickle_is_never_opened(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert "can run code" in refused(id=str(file))


def test_a_torn_file(tmp_path: Path) -> None:
    file = file_with(tmp_path, "model.diffusion_model.a")
    file.write_bytes(file.read_bytes()[:20])
    assert "torn" in refused(id=str(file))
