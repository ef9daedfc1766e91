"""Structure kept by a ControlNet, on small random weights."""

from __future__ import annotations

from pathlib import Path

import diffusers
import numpy as np
import pipelines
import pytest
import torch

from inpaint_transform.core.crops import align_mask
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.engine import Engine
from inpaint_transform.engine.edges import canny_maps

SIZE = pipelines.SIZE
SAVERS = {
    "9 channels": lambda folder: pipelines.save_sd_inpaint(folder),
    "4 channels": lambda folder: pipelines.save_sd_inpaint(folder, 4),
    "text to image": lambda folder: pipelines.save_sd_text2image(folder),
    "xl": lambda folder: pipelines.save_sdxl_inpaint(folder),
}


def request(seed: int, edge: int = 12) -> InpaintRequest:
    """A picture with one vertical edge."""
    image = np.full((SIZE, SIZE, 3), 30, np.uint8)
    image[:, edge:] = 220
    mask = np.zeros((SIZE, SIZE), bool)
    mask[8:24, 8:24] = True
    return InpaintRequest(image, mask, "a thing", seed=seed)


def make(tmp_path: Path, kind: str = "9 channels", **fields: object) -> Engine:
    checkpoint = SAVERS[kind](tmp_path / "checkpoint")
    net = pipelines.save_controlnet(tmp_path / "net", xl=kind == "xl")
    spec = {"device": "cpu", "size": SIZE, "steps": 3, "guidance_scale": 3.0, "controlnet": str(net)}
    return Engine(ModelSpec(str(checkpoint), **{**spec, **fields}))


@pytest.mark.parametrize("kind", SAVERS)
def test_the_edges_of_the_crop_steer_what_is_painted(tmp_path: Path, kind: str) -> None:
    steered = make(tmp_path, kind)
    free = make(tmp_path, kind, controlnet=None)
    requests = [request(seed) for seed in range(3)]
    results = steered.paint(requests)
    for one, other, unsteered in zip(
        results, [steered.paint([each])[0] for each in requests], free.paint(requests), strict=True
    ):
        assert one.image is not None
        assert other.image is not None
        assert unsteered.image is not None
        assert np.abs(one.image.astype(int) - other.image).max() <= 1
        assert np.abs(one.image.astype(int) - unsteered.image).max() > 10


def test_equals_the_plain_pipeline_with_a_canny_map(tmp_path: Path) -> None:
    engine = make(tmp_path)
    asked = request(5)
    pipeline = diffusers.StableDiffusionControlNetInpaintPipeline.from_pretrained(
        tmp_path / "checkpoint", controlnet=diffusers.ControlNetModel.from_pretrained(tmp_path / "net")
    )
    pipeline.set_progress_bar_config(disable=True)
    plain = pipeline(
        prompt="a thing",
        image=torch.from_numpy(asked.image).permute(2, 0, 1)[None] / 255,
        mask_image=torch.from_numpy(align_mask(asked.mask, pipelines.CELL))[None, None].float(),
        control_image=torch.from_numpy(canny_maps([asked.image])),
        height=SIZE,
        width=SIZE,
        num_inference_steps=3,
        guidance_scale=3.0,
        strength=1.0,
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).images[0]
    expected = (plain.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    [result] = engine.paint([asked])
    assert result.image is not None
    assert np.abs(result.image - expected).max() <= 1


def test_a_folder_that_is_no_controlnet_is_named(tmp_path: Path) -> None:
    vae = pipelines.save_autoencoder_tiny(tmp_path / "vae")
    with pytest.raises(ValueError, match="controlnet=.*holds a AutoencoderTiny"):
        make(tmp_path, controlnet=str(vae))
    with pytest.raises(FileNotFoundError, match="controlnet='/no/such'"):
        make(tmp_path, controlnet="/no/such")


def test_a_model_that_takes_no_controlnet_is_named(tmp_path: Path) -> None:
    net = pipelines.save_controlnet(tmp_path / "net")
    flux = pipelines.save_flux(tmp_path / "flux")
    with pytest.raises(ValueError, match="is a FluxInpaintPipeline; use a Stable Diffusion or SDXL checkpoint"):
        Engine(ModelSpec(str(flux), device="cpu", size=SIZE, controlnet=str(net)))
