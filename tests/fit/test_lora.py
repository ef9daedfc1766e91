"""A LoRA: the loss falls, plain diffusers and ``ModelSpec`` load it, pixels change, and no other weight does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pipelines
import pytest
import safetensors.torch
import torch

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.fit import Sample, bases, fit, fitting, lora, precision
from inpaint_transform.fit.captions import Captions
from inpaint_transform.serving.registry import connect

SETTINGS: dict[str, Any] = {"steps": 30, "batch": 4, "crops": 24, "every": 10, "rank": 4, "rate": 0.02, "edits": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("lora") / "base")


@pytest.fixture(scope="module")
def fitted(samples: list[Sample], base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("lora") / "out"
    before = {path: path.read_bytes() for path in base.rglob("*.safetensors")}
    card = fit(samples, base=str(base), out=out, **SETTINGS)
    assert {path: path.read_bytes() for path in base.rglob("*.safetensors")} == before
    return out, card


def painted(base: Path, adapter: Path | None) -> np.ndarray:
    spec = ModelSpec(str(base), lora=adapter and str(adapter), size=32, steps=2, guidance_scale=1.0, serving="local")
    inpainter = connect(spec)
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    [result] = inpainter.paint([InpaintRequest(np.full((32, 32, 3), 120, np.uint8), hole, "a disc")])
    inpainter.close()
    assert result.image is not None
    return result.image


def test_the_loss_falls(fitted: tuple[Path, dict[str, Any]]) -> None:
    losses = [loss for _, loss in fitted[1]["training"]["lora"]["held_out"]]
    assert losses[-1] < losses[0]


def test_who_may_read_the_card_may_load_the_weights(fitted: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = fitted
    [weights] = folder.glob("*.safetensors")
    assert weights.stat().st_mode == (folder / "README.md").stat().st_mode


def test_it_changes_what_is_painted(base: Path, fitted: tuple[Path, dict[str, Any]]) -> None:
    assert (painted(base, fitted[0]) != painted(base, None)).any()


def test_plain_diffusers_loads_it_and_no_other_weight_changes(base: Path, fitted: tuple[Path, dict[str, Any]]) -> None:
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(base)
    before = {
        f"{part}.{name}": value.clone()
        for part in ("unet", "vae", "text_encoder")
        for name, value in getattr(pipeline, part).state_dict().items()
    }
    pipeline.load_lora_weights(fitted[0])
    assert pipeline.get_active_adapters()
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    changed = {name for name, value in before.items() if not torch.equal(value, _state(pipeline)[name])}
    assert changed
    assert all(name.startswith("unet.") and any(target in name for target in lora.TARGETS) for name in changed)


def _state(pipeline: Any) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value
        for part in ("unet", "vae", "text_encoder")
        for name, value in getattr(pipeline, part).state_dict().items()
    }


def test_the_file_is_small_and_of_the_asked_rank(fitted: tuple[Path, dict[str, Any]]) -> None:
    weights = safetensors.torch.load_file(fitted[0] / "pytorch_lora_weights.safetensors")
    assert all(min(value.shape) <= 4 for value in weights.values())
    assert all(name.startswith("unet.") and "lora" in name for name in weights)


def test_sdxl(samples: list[Sample], folder: Path, tmp_path: Path) -> None:
    base = pipelines.save_sdxl_inpaint(tmp_path / "base")
    fit(samples, base=str(base), out=folder, **{**SETTINGS, "steps": 4, "every": 2})
    pipeline = diffusers.StableDiffusionXLInpaintPipeline.from_pretrained(base)
    pipeline.load_lora_weights(folder)
    assert pipeline.get_active_adapters()


def test_a_base_in_half_the_bits_is_trained_and_its_sheets_painted(
    samples: list[Sample], base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: base in bfloat16, LoRA in float32, sums under autocast."""
    whole = bases.load

    def in_half(*arguments: Any) -> Any:
        return whole(*arguments).to(torch.bfloat16)

    monkeypatch.setattr(fitting, "load", in_half)
    monkeypatch.setattr(precision, "fast_dtype", lambda _device: torch.bfloat16)
    card = fit(samples, base=str(base), out=folder, **{**SETTINGS, "steps": 4, "every": 2})
    assert np.isfinite([loss for _, loss in card["training"]["lora"]["held_out"]]).all()
    assert (folder / "sheets" / "LoRA-000004.png").exists()
    weights = safetensors.torch.load_file(folder / "pytorch_lora_weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_no_prompt_is_learnt_as_the_pipeline_asks_for_it(tmp_path: Path) -> None:
    """SDXL pipelines start guidance from zeros, those of Stable Diffusion 1 and 2 from the words of an empty prompt."""
    seen: list[torch.Tensor] = []
    for save in (pipelines.save_sdxl_inpaint, pipelines.save_sd_inpaint):
        pipeline = bases.load(ModelSpec(str(save(tmp_path / save.__name__))), "cpu", whole=False)
        predict = lora._predict(pipeline, Captions(["disc"]), 32)
        unet = pipeline.unet
        unet.register_forward_pre_hook(lambda _module, given: seen.append(given[2]))
        cells = unet.config.sample_size
        with torch.no_grad():
            predict(torch.zeros(2, 9, cells, cells), torch.tensor([1, 1]), ["", "a disc"])
    zeros, words = seen
    assert not zeros[0].any()
    assert zeros[1].any()
    assert words[0].any()
