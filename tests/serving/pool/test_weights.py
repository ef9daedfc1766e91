"""Weights on disk: fitted anew they are others, copied they are the same, and nothing else beside them counts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.pool.weights import BLOCK_BYTES, BLOCKS, digest_of

LARGE = 3 * BLOCKS * BLOCK_BYTES + 17


def fit(folder: Path, seed: int = 0, size: int = LARGE, suffix: str = ".safetensors") -> Path:
    """Write what looks like a model's weights, of a size that does not tell one training from another."""
    for part in ("unet", "vae"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        content = np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
        (folder / part / f"diffusion_pytorch_model{suffix}").write_bytes(content)
    return folder


@pytest.mark.parametrize("size", [10, LARGE])
def test_what_is_fitted_anew_is_another_and_a_copy_is_not(tmp_path: Path, size: int) -> None:
    model = fit(tmp_path / "model", size=size)
    first = digest_of(ModelSpec(str(model)))
    copied = shutil.copytree(model, tmp_path / "elsewhere")
    os.utime(copied / "unet" / "diffusion_pytorch_model.safetensors", (0, 0))
    (copied / "fit.json").write_text("a card, of another day")
    assert digest_of(ModelSpec(str(copied))) == first
    assert digest_of(ModelSpec(str(fit(model, seed=1, size=size)))) != first


@pytest.mark.parametrize("suffix", [".bin", ".ckpt"])
def test_pickled_weights_count_too(tmp_path: Path, suffix: str) -> None:
    first = digest_of(ModelSpec(str(fit(tmp_path / "model", suffix=suffix))))
    assert first is not None
    assert digest_of(ModelSpec(str(fit(tmp_path / "model", seed=1, suffix=suffix)))) != first


def test_the_end_of_a_file_counts(tmp_path: Path) -> None:
    file = fit(tmp_path / "model") / "unet" / "diffusion_pytorch_model.safetensors"
    first = digest_of(ModelSpec(str(tmp_path / "model")))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert digest_of(ModelSpec(str(tmp_path / "model"))) != first


@pytest.mark.parametrize("field", ["lora", "vae", "controlnet", "ip_adapter", "clip", "textual_inversion", "gate"])
def test_all_that_is_loaded_counts(tmp_path: Path, field: str) -> None:
    place = str(fit(tmp_path / "part"))
    values = {"lora": [(place, 0.5)], "textual_inversion": {"<cone>": place}}
    spec = ModelSpec("owner/name", **({} if field == "gate" else {field: values.get(field, place)}))
    clip = place if field == "gate" else None
    first = digest_of(spec, clip)
    fit(Path(place), seed=1)
    assert digest_of(spec, clip) not in (None, first)


def test_one_file_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(b"weights")
    first = digest_of(ModelSpec(str(file)))
    file.write_bytes(b"others!")
    assert digest_of(ModelSpec(str(file))) not in (None, first)


def test_a_model_of_a_hub_has_none_here() -> None:
    assert digest_of(ModelSpec("owner/name", lora="owner/lora")) is None
    assert digest_of(ModelSpec("tiny")) is not None
