"""LoRAs: several with weights, and one of another architecture told by its tensors before anything loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipelines
import pytest
import torch
from crop_requests import make
from safetensors.torch import save_file

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import loading
from inpaint_transform.engine.loras import family_of, family_of_pipeline, text_width

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn2"


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("sd") / "checkpoint")


def weights(path: Path, **fields: Any) -> dict[str, torch.Tensor]:
    return dict(make(path, **fields)._pipeline.unet.state_dict())


def test_several_add_up_by_their_weights(sd: Path, tmp_path: Path) -> None:
    one = str(pipelines.save_sd_lora(tmp_path / "one"))
    other = str(pipelines.save_sd_lora(tmp_path / "other", layer="attn1.to_k"))
    plain, whole, second = weights(sd), weights(sd, lora=one), weights(sd, lora=other)
    both = weights(sd, lora=[(one, 0.5), (other, -1.0)])
    for name in plain:
        expected = plain[name] + 0.5 * (whole[name] - plain[name]) - (second[name] - plain[name])
        torch.testing.assert_close(both[name], expected, atol=1e-4, rtol=1e-4)
    changed = {name for name in plain if not torch.equal(plain[name], both[name])}
    assert len(changed) == 2
    assert both.keys() == plain.keys(), "nothing of them is left behind"


def test_the_same_lora_twice_is_twice_the_lora(sd: Path, tmp_path: Path) -> None:
    one = str(pipelines.save_sd_lora(tmp_path))
    twice, at_two = weights(sd, lora=[one, one]), weights(sd, lora=[(one, 2.0)])
    for name in twice:
        torch.testing.assert_close(twice[name], at_two[name], atol=1e-4, rtol=1e-4)


def test_weight_one_is_the_string(sd: Path, tmp_path: Path) -> None:
    one = str(pipelines.save_sd_lora(tmp_path))
    alone, listed = weights(sd, lora=one), weights(sd, lora=[(one, 1.0)])
    assert all(torch.equal(alone[name], listed[name]) for name in alone)


# Whose it is

NAMES = {
    "Stable Diffusion": [
        f"unet.{LAYER}.to_q.lora_A.weight",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k.lora_down.weight",
        "lora_unet_mid_block_attentions_0_proj_in.hada_w1_a",
    ],
    "Stable Diffusion XL": [
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
        "unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q.lora_A.weight",
        "lora_unet_up_blocks_0_attentions_1_transformer_blocks_3_ff_net_2.lora_down.weight",
    ],
    "FLUX": [
        "transformer.single_transformer_blocks.3.attn.to_q.lora_A.weight",
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
    ],
    "FLUX.2": [
        "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight",
        "diffusion_model.double_stream_modulation_img.lin.lora_A.weight",
    ],
    "Stable Diffusion 3": [
        "lora_unet_joint_blocks_0_context_block_attn_qkv.lora_down.weight",
        "transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight",
    ],
    "Qwen-Image": ["transformer_blocks.0.img_mlp.net.0.proj.lora_down.weight"],
    "Z-Image": [
        "diffusion_model.layers.0.attention.to_q.lora_A.weight",
        "transformer.noise_refiner.0.feed_forward.w1.lora_A.weight",
    ],
}
CLASSES = {
    "StableDiffusionInpaintPipeline": "Stable Diffusion",
    "StableDiffusionXLInpaintPipeline": "Stable Diffusion XL",
    "StableDiffusion3InpaintPipeline": "Stable Diffusion 3",
    "FluxFillPipeline": "FLUX",
    "Flux2KleinPipeline": "FLUX.2",
    "QwenImageInpaintPipeline": "Qwen-Image",
    "ZImagePipeline": "Z-Image",
    "ChromaPipeline": None,
}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in NAMES.items() for name in names])
def test_families_are_told_by_the_names(family: str, name: str) -> None:
    assert family_of([name]) == family
    assert family_of(["alpha", name]) == family


def test_names_that_tell_nothing() -> None:
    assert family_of(["something.lora_A.weight"]) is None


def test_families_of_classes() -> None:
    assert {name: family_of_pipeline(name) for name in CLASSES} == CLASSES


@pytest.mark.parametrize("end", ["lora_A.weight", "lora_down.weight", "lora.down.weight"])
def test_the_width_of_the_text_is_read(end: str) -> None:
    assert text_width({f"unet.{LAYER}.to_q.lora_A.weight": [4, 320], f"unet.{LAYER}.to_k.{end}": [4, 768]}) == 768
    assert text_width({f"unet.{LAYER}.to_q.{end}": [4, 320]}) is None


@pytest.mark.parametrize(
    ("save", "family"),
    [(pipelines.save_sd_inpaint, other) for other in NAMES if other != "Stable Diffusion"]
    + [(pipelines.save_flux, "Stable Diffusion"), (pipelines.save_flux2_klein, "FLUX"), (pipelines.save_sd3, "FLUX")]
    + [(pipelines.save_z_image, "Qwen-Image"), (pipelines.save_qwen, "Z-Image")],
)
def test_a_lora_of_another_architecture_is_named_before_anything_loads(
    save: Any, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(tmp_path / "checkpoint")
    file = tmp_path / "other.safetensors"
    save_file({NAMES[family][0]: torch.zeros(4, 8)}, file)
    monkeypatch.setattr(loading, "_from_pretrained", None)
    with pytest.raises(ValueError, match=rf"^lora='.*' is a LoRA of another architecture: it belongs to {family}, and"):
        make(checkpoint, lora=str(file))


def test_a_width_of_text_that_does_not_fit_is_named(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_from_pretrained", None)
    for width, words in ((768, "Stable Diffusion 1"), (1024, "Stable Diffusion 2"), (2048, "Stable Diffusion XL")):
        file = tmp_path / f"{width}.safetensors"
        save_file({f"unet.{LAYER}.to_k.lora_A.weight": torch.zeros(4, width)}, file)
        with pytest.raises(ValueError, match=f"belongs to {words}, and id=.* reads text of 32 features"):
            make(sd, lora=str(file))


def test_an_sdxl_checkpoint_takes_a_lora_whose_names_fit_both(tmp_path: Path) -> None:
    xl = pipelines.save_sdxl_inpaint(tmp_path / "xl")
    assert make(xl, lora=str(pipelines.save_sd_lora(tmp_path / "lora")))


# What is no LoRA


def test_wrong_files_are_told_by_what_they_hold(sd: Path, tmp_path: Path) -> None:
    def refused(where: Path, kind: type[Exception] = ValueError) -> str:
        with pytest.raises(kind, match=f"lora='{where}'") as caught:
            make(sd, lora=[str(where), (str(where), 0.5)])
        return str(caught.value)

    assert "it holds an autoencoder (VAE)" in refused(sd / "vae" / "diffusion_pytorch_model.safetensors")
    assert "it holds a text encoder" in refused(sd / "text_encoder" / "model.safetensors")
    assert "it holds a denoiser alone" in refused(sd / "unet")
    checkpoint = tmp_path / "whole.safetensors"
    save_file({"model.diffusion_model.a": torch.zeros(2)}, checkpoint)
    assert "it holds a whole checkpoint" in refused(checkpoint)
    word = pipelines.save_word(tmp_path / "word.safetensors")
    assert "it holds" in refused(word)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"torn")
    assert "is torn" in refused(torn)
    for suffix in (".ckpt", ".pt", ".bin"):
        file = tmp_path / f"style{suffix}"
        file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        assert "never read: look for the same LoRA as .safetensors" in refused(file)
    assert "there is no such file" in refused(tmp_path / "gone.safetensors", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    assert "has no .safetensors file" in refused(tmp_path / "empty", FileNotFoundError)


def test_one_of_several_below_the_home_folder(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    one = pipelines.save_sd_lora(tmp_path / "one")
    assert weights(sd, lora=[("~/one", 0.5)]).keys() == weights(sd).keys()
    assert ModelSpec("sd15", lora=[("~/one", 0.5)]).loras == (("~/one", 0.5),)
    assert one.exists()
