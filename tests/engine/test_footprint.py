"""Small cards: what makes a model need less paints the same or nearly, and what does not fit is said with numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pipelines
import pytest
import torch
from crop_requests import difference, make, pixels, request

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import Engine, footprint

SAVERS = {
    "sd": pipelines.save_sd_inpaint,
    "sdxl": pipelines.save_sdxl_inpaint,
    "sd3": pipelines.save_sd3,
    "flux": pipelines.save_flux,
    "klein": pipelines.save_flux2_klein,
    "z-image": pipelines.save_z_image,
    "qwen": pipelines.save_qwen,
}


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("sd") / "checkpoint")


def offload(engine: Engine) -> None:
    """What ``offload="model"`` does on a card. Layer by layer accelerate cannot move from the CPU to the CPU."""
    engine._pipeline.enable_model_cpu_offload(device=torch.device("cpu"))
    assert any(hasattr(part, "_hf_hook") for part in engine._pipeline.components.values())


@pytest.mark.parametrize("kind", SAVERS)
def test_a_model_that_comes_part_by_part_paints_the_same(kind: str, tmp_path: Path) -> None:
    engine = make(SAVERS[kind](tmp_path))
    asked = [request(0), request(1), request(2, strength=0.6)]
    plain = engine.paint(asked)
    offload(engine)
    for _ in range(2):
        for one, other in zip(plain, engine.paint(asked), strict=True):
            assert difference(one, other) <= 1


class Moved:
    """A pipeline that notes how it is placed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def to(self, device: torch.device) -> None:
        self.calls.append(("to", device))

    def enable_model_cpu_offload(self, device: torch.device) -> None:
        self.calls.append(("model", device))

    def enable_sequential_cpu_offload(self, device: torch.device) -> None:
        self.calls.append(("sequential", device))


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
@pytest.mark.parametrize("wanted", [None, "model", "sequential"])
def test_a_pipeline_is_placed_as_the_spec_says(wanted: str | None, device: str) -> None:
    pipeline = Moved()
    footprint.place(pipeline, ModelSpec("some/model", offload=wanted).resolved(), torch.device(device))
    how = "to" if wanted is None or device == "cpu" else wanted
    assert pipeline.calls == [(how, torch.device(device))]


def test_what_comes_part_by_part_goes_with_the_rest(sd: Path, tmp_path: Path) -> None:
    """Fused, taught and adapted before it moves."""
    fields = {
        "lora": str(pipelines.save_sd_lora(tmp_path / "lora")),
        "textual_inversion": {"<cone>": str(pipelines.save_word(tmp_path / "cone.safetensors"))},
        "ip_adapter": str(pipelines.save_ip_adapter(tmp_path / "adapter")),
    }
    asked = [request(0, prompt="a <cone>", reference=np.full((512, 512, 3), 90, np.uint8))]
    engine = make(sd, **fields)
    [expected] = engine.paint(asked)
    offload(engine)
    [found] = engine.paint(asked)
    assert difference(found, expected) <= 1


def test_slices_are_the_same_and_tiles_nearly(sd: Path) -> None:
    asked = [request(seed) for seed in range(3)]
    plain = make(sd).paint(asked)
    sliced = make(sd, vae_slicing=True)
    assert sliced._pipeline.vae.use_slicing
    for one, other in zip(plain, sliced.paint(asked), strict=True):
        assert difference(one, other) <= 1
    tiled = make(sd, vae_tiling=True)
    assert tiled._pipeline.vae.use_tiling
    for one, other in zip(plain, tiled.paint(asked), strict=True):
        assert np.abs(pixels(one) - pixels(other)).mean() < 20


def test_an_autoencoder_without_such_a_switch(sd: Path, tmp_path: Path) -> None:
    asymmetric = pipelines.save_autoencoder_asymmetric(tmp_path)
    with pytest.raises(ValueError, match="vae_tiling=True: an AsymmetricAutoencoderKL .* use vae_tiling=False"):
        make(sd, vae=str(asymmetric), vae_tiling=True)


def test_eight_bits_are_a_quarter_of_thirty_two_and_paint_nearly_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    checkpoint = pipelines.save_sd_inpaint(tmp_path / "checkpoint")
    lora = str(pipelines.save_sd_lora(tmp_path / "lora"))
    plain, small = make(checkpoint, lora=lora), make(checkpoint, lora=lora, quantize="int8")
    sizes = [footprint.parts_of(engine._pipeline)["unet"] for engine in (plain, small)]
    assert sizes[1] < sizes[0]
    for one, other in zip(plain.paint([request(0)]), small.paint([request(0)]), strict=True):
        assert 0 < np.abs(pixels(one) - pixels(other)).mean() < 10


def test_what_is_missing_for_eight_bits_is_named(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ValueError, match="quantize='int8' needs torchao: pip install torchao"):
        make(sd, quantize="int8")


@pytest.mark.parametrize("wanted", ["model", "sequential"])
def test_what_is_missing_for_moving_is_named(sd: Path, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusers.pipelines.pipeline_utils, "is_accelerate_available", lambda: False)
    spec = ModelSpec("some/model", offload=wanted).resolved()
    with pytest.raises(ValueError, match=f"offload='{wanted}' needs accelerate: pip install accelerate"):
        footprint.place(make(sd)._pipeline, spec, torch.device("cuda:0"))


def test_what_moves_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="offload='model': use .*compile"):
        ModelSpec("sd15", offload="model", compile=True)


# What it will need


class Part(torch.nn.Module):
    def __init__(self, mebibytes: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(mebibytes << 18, device="meta"))


class Pipeline:
    """A pipeline of two parts, of 3 and 1 GiB."""

    def __init__(self) -> None:
        self.components = {"unet": Part(3072), "vae": Part(1024), "tokenizer": object()}


def check(monkeypatch: pytest.MonkeyPatch, free: int | None, **fields: Any) -> None:
    monkeypatch.setattr(footprint, "free_bytes", lambda device: free)
    footprint.check(Pipeline(), ModelSpec("some/model", **fields).resolved(), torch.device("cuda", 0))


def test_what_a_model_will_need() -> None:
    assert footprint.parts_of(Pipeline()) == {"unet": 3 << 30, "vae": 1 << 30}
    assert [footprint.needed(Pipeline(), offload) for offload in (None, "model", "sequential")] == [4 << 30, 3 << 30, 0]


def test_it_is_said_against_what_is_free(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        check(monkeypatch, 6 << 30)
    assert (
        "'some/model' needs 4 GiB for its weights, and more for each crop of a batch; cuda:0 has 6 GiB" in caplog.text
    )
    caplog.clear()
    with caplog.at_level(logging.INFO):
        check(monkeypatch, None)
    assert "needs 4 GiB" in caplog.text


def test_what_does_not_fit_is_refused_with_the_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InpaintError, match=r"needs 4 GiB .* has 2 GiB free: use offload='model' \(3 GiB\), offload='s"):
        check(monkeypatch, 2 << 30)
    with pytest.raises(InpaintError, match=r"needs 3 GiB .* use offload='sequential' .*quantize='int8'") as caught:
        check(monkeypatch, 2 << 30, offload="model")
    assert "offload='model'" not in str(caught.value)
    check(monkeypatch, 2 << 30, offload="sequential")


def test_what_is_free_here() -> None:
    assert footprint.free_bytes(torch.device("cpu")) > 0
    assert footprint.free_bytes(torch.device("meta")) is None
