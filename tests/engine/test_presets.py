"""Every preset's class, on small random weights saved to a folder, runs with the preset's own steps and guidance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipelines
import pytest
from crop_requests import SIZE, checkpoints, pixels, request

from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.engine import Engine

# The small pipeline of the class that each preset loads.
CLASSES = {
    "tiny": "StableDiffusionInpaintPipeline-9",
    "sd15": "StableDiffusionInpaintPipeline-9",
    "sd15-lcm": "StableDiffusionInpaintPipeline-9",
    "sd2": "StableDiffusionInpaintPipeline-9",
    "sd-turbo": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLInpaintPipeline-9",
    "sdxl-lcm": "StableDiffusionXLInpaintPipeline-9",
    "flux2-klein": "Flux2KleinInpaintPipeline",
    "z-image-turbo": "ZImageInpaintPipeline",
    "flux-fill": "FluxFillPipeline",
}
# What stands in for the parts that a preset adds.
PARTS = {"lora": pipelines.save_sd_lora, "vae": pipelines.save_autoencoder_tiny}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return checkpoints(tmp_path_factory.mktemp("checkpoints"))


def test_there_is_a_class_for_every_preset() -> None:
    assert set(CLASSES) == set(PRESETS)


@pytest.mark.parametrize("name", CLASSES)
def test_a_preset_runs_as_it_says(
    name: str, folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = PRESET_FIELDS[name]
    parts = {part: str(save(tmp_path / part)) for part, save in PARTS.items() if part in preset}
    spec = ModelSpec(**{**preset, "id": str(folder(CLASSES[name])), "size": SIZE, "device": "cpu", **parts})
    engine = Engine(spec)
    called: list[dict[str, Any]] = []
    steps: list[Any] = []
    plain = type(engine._pipeline).__call__

    def call(self: Any, **arguments: Any) -> Any:
        called.append(arguments)
        return plain(self, **arguments)

    monkeypatch.setattr(type(engine._pipeline), "__call__", call)
    denoiser = getattr(engine._pipeline, "unet", None) or engine._pipeline.transformer
    denoiser.register_forward_pre_hook(lambda *_: steps.append(1))
    for result in engine.paint([request(0), request(1)]):
        pixels(result)
    [arguments] = called
    assert arguments["num_inference_steps"] == preset["steps"]
    # SDXL's authors found the first of many steps to do harm.
    assert len(steps) == preset["steps"] - (name == "sdxl")
    assert arguments["guidance_scale"] == preset["guidance_scale"]
    # No class's own default (0.8 for FLUX.2, 0.6 for FLUX) ever counts.
    assert arguments.get("strength", 1.0) >= 0.9999
    if "scheduler" in preset:
        assert type(engine._pipeline.scheduler).__name__ == preset["scheduler"]
