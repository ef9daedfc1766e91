"""Bases: what can be fitted, and what is said of what cannot."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pipelines
import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.fit.bases import CARD, find_base, read_card


def test_what_is_trained_of_which_base(tmp_path: Path) -> None:
    assert find_base("none").spec is None
    assert find_base("none").whole
    assert find_base("tiny").whole
    for number, save in enumerate((pipelines.save_sd_inpaint, pipelines.save_sdxl_inpaint)):
        folder = save(tmp_path / str(number))
        assert not find_base(str(folder)).whole
    assert read_card(folder) == {}
    (folder / CARD).write_text('{"weights": "all"}')
    assert find_base(str(folder)).whole


def test_a_lora_of_fits_own_is_no_base(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text('{"weights": "LoRA"}')
    with pytest.raises(ValueError, match=r"base=.*holds a LoRA that fit has trained"):
        find_base(str(tmp_path))


def test_a_base_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipelines.save_sd_inpaint(tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = find_base("~/model")
    assert found.spec is not None
    assert found.spec.id == str(tmp_path / "model")


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionInpaintPipeline-4",
        "StableDiffusionXLInpaintPipeline-4",
        "StableDiffusionPipeline",
        "FluxInpaintPipeline",
        "StableDiffusion3InpaintPipeline",
    ],
)
def test_other_checkpoints_are_refused_with_what_is_supported(tmp_path: Path, name: str) -> None:
    folder = pipelines.SAVERS[name](tmp_path / "model")
    with pytest.raises(ValueError, match=r"cannot be fitted; a LoRA can be fitted to 9-channel inpainting checkpoints"):
        find_base(str(folder))


def test_places_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model_index\.json"):
        find_base(str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "load_config", offline)
    with pytest.raises(InpaintError, match="no such folder"):
        find_base("no-one/no-model")


def test_a_preset_with_a_lora_of_its_own() -> None:
    with pytest.raises(ValueError, match="sd15-lcm.*plain form"):
        find_base("sd15-lcm")
