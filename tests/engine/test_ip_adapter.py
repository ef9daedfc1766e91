"""IP-Adapters: real pipelines with small random weights see a picture, and wrong files are named before they load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import pytest
import torch
from crop_requests import difference, make, request
from safetensors.torch import save_file

from inpaint_transform.core.protocol import REFERENCE_SIDE

SAVERS = {
    "9 channels": lambda folder: pipelines.save_sd_inpaint(folder),
    "text to image": lambda folder: pipelines.save_sd_text2image(folder),
    "xl": lambda folder: pipelines.save_sdxl_inpaint(folder),
}


def picture(level: int) -> np.ndarray:
    square = np.zeros((REFERENCE_SIDE, REFERENCE_SIDE, 3), np.uint8)
    square[:, :, level % 3] = 255
    square[: REFERENCE_SIDE // 2] //= 2
    return square


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("kind", SAVERS)
def test_what_is_painted_follows_the_reference(kind: str, guidance: float, tmp_path: Path) -> None:
    checkpoint = SAVERS[kind](tmp_path / "checkpoint")
    adapter = pipelines.save_ip_adapter(tmp_path / "adapter", xl=kind == "xl")
    engine = make(checkpoint, guidance_scale=guidance, ip_adapter=str(adapter), ip_adapter_scale=1.0)
    asked = [request(0, reference=picture(level)) for level in (0, 1)]
    one, other = engine.paint(asked)
    assert difference(one, other) > 3
    assert difference(engine.paint([asked[1]])[0], other) <= 1, "whatever shares its call"
    plain = make(checkpoint, guidance_scale=guidance).paint([request(0)])[0]
    mixed = engine.paint([request(0), asked[0]])
    assert difference(mixed[0], plain) == 0, "without a reference the adapter is not there"
    assert difference(mixed[1], one) <= 1


def test_more_scale_is_more_reference(tmp_path: Path) -> None:
    checkpoint = pipelines.save_sd_inpaint(tmp_path / "checkpoint")
    adapter = str(pipelines.save_ip_adapter(tmp_path / "adapter"))
    plain = make(checkpoint).paint([request(0)])[0]
    found = {
        scale: make(checkpoint, ip_adapter=adapter, ip_adapter_scale=scale).paint([request(0, reference=picture(0))])[0]
        for scale in (0.0, 0.6, None)
    }
    assert difference(found[0.0], plain) == 0
    assert difference(found[0.6], plain) > 0
    assert difference(found[0.6], found[None]) == 0


def test_a_picture_is_encoded_once(tmp_path: Path) -> None:
    engine = make(
        pipelines.save_sd_inpaint(tmp_path / "checkpoint"), ip_adapter=str(pipelines.save_ip_adapter(tmp_path / "a"))
    )
    calls: list[int] = []
    engine._pipeline.image_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    for _ in range(3):
        engine.paint([request(seed, reference=picture(seed % 2)) for seed in range(4)])
    assert len(calls) == 2


def test_a_file_with_its_encoder_beside_it(tmp_path: Path) -> None:
    checkpoint = pipelines.save_sd_inpaint(tmp_path / "checkpoint")
    adapter = pipelines.save_ip_adapter(tmp_path / "adapter")
    file = adapter / "models" / "ip-adapter_sd15.safetensors"
    asked = [request(0, reference=picture(0))]
    [of_folder], [of_file] = (make(checkpoint, ip_adapter=str(one)).paint(asked) for one in (adapter, file))
    assert difference(of_folder, of_file) == 0


# What is wrong, and where it goes


def refused(tmp_path: Path, where: Path, kind: type[Exception] = ValueError, save: Any = None, **fields: Any) -> str:
    checkpoint = tmp_path / "checkpoint"
    if not checkpoint.exists():
        (save or pipelines.save_sd_inpaint)(checkpoint)
    with pytest.raises(kind, match="ip_adapter=") as caught:
        make(checkpoint, ip_adapter=str(where), **fields)
    return str(caught.value)


def test_a_file_that_is_no_adapter(tmp_path: Path) -> None:
    checkpoint = pipelines.save_sd_inpaint(tmp_path / "checkpoint")
    lora = next(pipelines.save_sd_lora(tmp_path / "lora").glob("*.safetensors"))
    assert "is no IP-Adapter: it holds a LoRA" in refused(tmp_path, lora)
    unet = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    assert "it holds a denoiser alone" in refused(tmp_path, unet)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"torn")
    assert "is torn" in refused(tmp_path, torn)
    pickle = tmp_path / "ip-adapter.bin"
    pickle.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert "never read: look for the same IP-Adapter as .safetensors" in refused(tmp_path, pickle)


def test_an_adapter_of_another_architecture(tmp_path: Path) -> None:
    other = pipelines.save_ip_adapter(tmp_path / "other", width=48)
    assert "another architecture: for text of 48 features, and this model reads 32" in refused(tmp_path, other)


def test_folders_without_what_belongs_in_them(tmp_path: Path) -> None:
    xl = pipelines.save_ip_adapter(tmp_path / "xl", xl=True)
    assert "there is no models/ip-adapter_sd15.safetensors in it" in refused(tmp_path, xl, FileNotFoundError)
    alone = tmp_path / "alone.safetensors"
    save_file({"image_proj.proj.weight": torch.zeros(2), "ip_adapter.1.to_k_ip.weight": torch.zeros(2, 2)}, alone)
    assert "there is no folder image_encoder beside the weights" in refused(tmp_path, alone, FileNotFoundError)
    assert "there is no such folder" in refused(tmp_path, tmp_path / "gone" / "away", FileNotFoundError)


def test_a_model_that_takes_none(tmp_path: Path) -> None:
    adapter = pipelines.save_ip_adapter(tmp_path / "adapter")
    said = refused(tmp_path, adapter, save=pipelines.save_flux)
    assert "this is a FluxInpaintPipeline; use ip_adapter=None (flux2-klein sees a reference without one)" in said


def test_an_adapter_where_a_model_is_wanted_is_told_where_it_goes(tmp_path: Path) -> None:
    file = pipelines.save_ip_adapter(tmp_path / "a") / "models" / "ip-adapter_sd15.safetensors"
    with pytest.raises(ValueError, match=r"holds an IP-Adapter; give it as ip_adapter='.*' beside id"):
        make(file)
