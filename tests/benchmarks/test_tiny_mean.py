"""The mean of two models' weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.tiny.mean import mean
from inpaint_transform.tiny import CHECKPOINT

UNET = Path("unet", "diffusion_pytorch_model.safetensors")

pytestmark = pytest.mark.skipif(
    not (CHECKPOINT / "model_index.json").exists(), reason="the embedded checkpoint is not here"
)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    shutil.copytree(CHECKPOINT, folder)
    save_file({name: value + 1 for name, value in load_file(CHECKPOINT / UNET).items()}, folder / UNET)
    return folder


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_weights_lie_between(other: Path, tmp_path: Path, share: float) -> None:
    out = tmp_path / "out"
    mean(CHECKPOINT, other, out, share)
    found, mine, theirs = (load_file(folder / UNET) for folder in (out, CHECKPOINT, other))
    for name, value in found.items():
        expected = mine[name].float() * (1 - share) + theirs[name].float() * share
        assert (value.float() - expected).abs().max() < 2e-3
        assert value.dtype == mine[name].dtype
    vae = Path("vae", UNET.name)
    assert (
        load_file(out / vae)["decoder.conv_in.weight"] == load_file(CHECKPOINT / vae)["decoder.conv_in.weight"]
    ).all()
    assert (out / "model_index.json").read_bytes() == (CHECKPOINT / "model_index.json").read_bytes()


def test_what_has_no_mean_is_refused(other: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="share=2: use a number from 0 to 1"):
        mean(CHECKPOINT, other, out, 2)
    with pytest.raises(ValueError, match="has no part with safetensors weights; give a folder that fit wrote"):
        mean(tmp_path / "nothing", other, out)
    weights = load_file(other / UNET)
    weights.popitem()
    save_file(weights, other / UNET)
    with pytest.raises(ValueError, match="give two models of one architecture"):
        mean(CHECKPOINT, other, out)
    assert not out.exists()
