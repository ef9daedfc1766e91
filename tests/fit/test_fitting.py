"""A fit as a whole: broken off and resumed, evaluated, described; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file
from test_full import NOTHING

from inpaint_transform.fit import Sample, fit, fitting
from inpaint_transform.fit.bases import find_base

WEIGHTS = ("unet", "vae", "text_encoder")
SCRIPT = """
import sys
from pathlib import Path
from drawn import draw_set
from test_full import NOTHING
from inpaint_transform.fit import fit
fit(draw_set(Path(sys.argv[1])), out=Path(sys.argv[2]), steps=40, **{**NOTHING, "every": 10})
"""


def weights(out: Path) -> list[bytes]:
    return [next((out / part).glob("*.safetensors")).read_bytes() for part in WEIGHTS]


def start(pictures: Path, out: Path) -> subprocess.Popen[bytes]:
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests), str(tests / "fit"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(pictures), str(out)], env=environment, stderr=subprocess.PIPE
    )


def run_to_its_end(pictures: Path, out: Path) -> None:
    run = start(pictures, out)
    _, said = run.communicate()
    assert run.returncode == 0, said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The weights of a run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    run_to_its_end(folder / "pictures", folder / "out")
    return weights(folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["autoencoder.pt", "latents.pt", "denoiser.pt", "painted-40.pt"])
def test_killed_and_called_again_it_ends_with_the_same_weights(tmp_path: Path, whole: list[bytes], file: str) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    killed = start(pictures, out)
    deadline = time.monotonic() + 240
    while not (out / "training" / file).exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (out / "unet").exists()
    run_to_its_end(pictures, out)
    assert weights(out) == whole


def test_it_is_evaluated_and_described(samples: list[Sample], folder: Path, hasty: None) -> None:
    settings = {**NOTHING, "edits": 4, "steps_of_autoencoder": 2, "steps_of_decoder": 1}
    card = fit(samples, out=folder, steps=2, licence="CC0", command="by hand", **settings)
    assert json.loads((folder / "fit.json").read_text()) == card
    assert card["evaluation"]["edits"] == 4
    assert card["data"]["licence"] == "CC0"
    assert card["data"]["train"]["boxes"] == {"disc": 10, "square": 10}
    assert card["data"]["held_out"]["boxes"] == {"disc": 2, "square": 2}
    readme = (folder / "README.md").read_text()
    assert "by hand" in readme
    assert card["data"]["digest"] in readme
    page = (folder / "page.html").read_text()
    assert page.count("data:image/jpeg") >= 6
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert sorted(path.name for path in (folder / "sheets").iterdir()) == [
        "autoencoder-000002.png",
        "decoder-000001.png",
        "denoiser-000002.png",
    ]


def test_broken_off_while_it_is_evaluated_its_weights_are_known_for_what_they_are(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a card a folder like this is taken for a large checkpoint, which gets a LoRA."""

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "evaluate", broken)
    settings = {**NOTHING, "edits": 4, "steps_of_autoencoder": 1, "steps_of_decoder": 1}
    with pytest.raises(KeyboardInterrupt):
        fit(samples, out=folder, steps=1, **settings)
    assert find_base(str(folder)).whole


def test_who_goes_on_from_a_result_is_told_which_pictures_it_has_seen(samples: list[Sample], tmp_path: Path) -> None:
    settings = {**NOTHING, "steps_of_autoencoder": 1, "steps_of_decoder": 1}
    fit(samples[:10], samples[10:], out=tmp_path / "first", steps=1, **settings)
    again: dict[str, Any] = {**settings, "base": str(tmp_path / "first"), "steps": 1}
    card = fit(samples[5:], samples[:5], out=tmp_path / "second", **again)
    assert any("trained on 5 of 5 held-out pictures" in sentence for sentence in card["warnings"])
    card = fit(samples[:10], samples[10:], out=tmp_path / "third", **again)
    assert not any("held-out pictures" in sentence for sentence in card["warnings"])
    # What the base of the base has seen counts too.
    again["base"] = str(tmp_path / "second")
    card = fit(samples[5:], samples[:5], out=tmp_path / "fourth", **again)
    assert any("trained on 5 of 5" in sentence for sentence in card["warnings"])


def test_another_run_in_the_folder_is_not_continued(samples: list[Sample], folder: Path) -> None:
    settings = {**NOTHING, "steps_of_autoencoder": 1, "steps_of_decoder": 1}
    fit(samples, out=folder, steps=1, **settings)
    for change in ({"batch": 3}, {"seed": 1}, {"turnable": ["disc"]}, {"prompts": "{label}"}):
        with pytest.raises(ValueError, match="holds a run with"):
            fit(samples, out=folder, steps=1, **{**settings, **change})
    with pytest.raises(ValueError, match="holds a run with data="):
        fit(samples[1:], out=folder, steps=1, **settings)
    with pytest.raises(ValueError, match="holds a run with held_out="):
        fit(samples[1:], samples[:1], out=folder, steps=1, **settings)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"architecture": "huge"}, "architecture='huge'"),
        ({"batch": 0}, "batch=0"),
        ({"rate": 2.0}, "rate=2.0"),
        ({"size": 33}, "size=33: this model works in steps of 4 pixels"),
        ({"edits": -1}, "edits=-1"),
        ({"prompts": "a {label} " + "very " * 80}, r"prompts='a disc very .* has 8\d tokens, but the model reads"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"prompts": {"disc": "a disc"}}, "no entry for label 'square'"),
        ({"prompts": {"disk": "a", "disc": "b", "square": "c"}}, "prompts: no class is called 'disk'.*mean 'disc'"),
        ({"turnable": ["Disc"]}, r"turnable: no class is called 'Disc'; the classes are disc, square; did you mean"),
        ({"turnable": "disc"}, r"turnable='disc': give a list of class names, such as \['disc'\]"),
        ({"shares": {"dics": 2}}, "shares: no class is called 'dics'"),
        ({"shares": {"disc": -1}}, r"shares=\{'disc': -1\}: use a number above 0"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    samples: list[Sample], folder: Path, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        fit(samples, out=folder, steps=1, **{**NOTHING, **change})
    assert not folder.exists()


def test_a_class_of_small_boxes_is_named_and_not_learnt(samples: list[Sample], folder: Path, hasty: None) -> None:
    some = [replace(one, boxes=(*one.boxes, (0, 0, 9, 9)), labels=(*one.labels, "dot"), outlines=()) for one in samples]
    card = fit(some, out=folder, steps=1, **{**NOTHING, "edits": 4, "steps_of_autoencoder": 1, "steps_of_decoder": 1})
    assert any("dot" in sentence for sentence in card["warnings"])
    assert card["evaluation"]["classes"] == ["disc", "square"]


def test_nothing_to_learn(samples: list[Sample], folder: Path) -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        fit([Sample(samples[0].image, ((0, 0, 9, 9),), ("a",))], out=folder, **NOTHING)


def test_a_small_model_is_fitted_to_another_size(samples: list[Sample], folder: Path, hasty: None) -> None:
    settings = {**NOTHING, "steps_of_autoencoder": 1, "steps_of_decoder": 1}
    assert fit(samples, out=folder / "32", steps=1, **settings)["size"] == 32
    del settings["architecture"]
    settings["base"] = str(folder / "32")
    card = fit(samples, out=folder / "48", steps=1, size=48, **settings)
    assert card["size"] == 48
    old, new = (diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder / name) for name in ("32", "48"))
    assert new.unet.config.sample_size * new.vae_scale_factor == 48
    assert new.scheduler.alphas_cumprod[500] < old.scheduler.alphas_cumprod[500]
    # One step changes little: it went on from the old one.
    before, after = (one.state_dict()["mid_block.resnets.0.conv1.weight"] for one in (old.unet, new.unet))
    assert not torch.equal(before, after)
    assert (before - after).abs().mean() < 0.1 * before.abs().mean()
    with pytest.raises(ValueError, match="holds a run with size=48, not 32"):
        fit(samples, out=folder / "48", steps=1, **settings)


def test_a_small_model_at_twice_its_size_keeps_its_cells(samples: list[Sample], folder: Path, hasty: None) -> None:
    settings = {**NOTHING, "steps_of_autoencoder": 2, "steps_of_decoder": 2}
    fit(samples, out=folder / "32", steps=1, **settings)
    del settings["architecture"]
    settings["base"] = str(folder / "32")
    card = fit(samples, out=folder / "64", steps=1, size=64, **{**settings, "edits": 4})
    assert card["size"] == 64
    assert card["evaluation"]["edits"] == 4
    old, new = (diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder / name) for name in ("32", "64"))
    assert new.unet.config.sample_size == old.unet.config.sample_size
    assert new.vae_scale_factor == 2 * old.vae_scale_factor
    told = [path.read_text() for path in (folder / "64").glob("*/config.json")]
    assert told
    assert not any(str(folder) in text for text in told)
    assert torch.equal(new.scheduler.alphas_cumprod, old.scheduler.alphas_cumprod)
    # And what was made so is a base like any other.
    card = fit(samples, out=folder / "again", steps=1, **{**settings, "base": str(folder / "64")})
    assert card["size"] == 64


def test_a_size_between_cells(samples: list[Sample], folder: Path, tmp_path: Path) -> None:
    import pipelines

    base = pipelines.save_sd_inpaint(tmp_path / "base")
    with pytest.raises(ValueError, match="size=33: this model works in steps of 8 pixels"):
        fit(samples, base=str(base), out=folder, size=33)


def test_importing_it_makes_no_noise() -> None:
    code = "from inpaint_transform.fit import fit"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_decoder_alone_is_trained_on(samples: list[Sample], tmp_path: Path) -> None:
    settings = {**NOTHING, "steps_of_autoencoder": 1, "steps_of_decoder": 1}
    fit(samples, out=tmp_path / "base", steps=1, **settings)
    alone: dict[str, Any] = {**settings, "base": str(tmp_path / "base"), "steps": 0, "steps_of_autoencoder": 0}
    card = fit(samples, out=tmp_path / "on", **{**alone, "steps_of_decoder": 3})
    assert [name for name, stage in card["training"].items() if stage["steps"]] == ["decoder"]
    base, on = (
        {part: load_file(next((tmp_path / run / part).glob("*.safetensors"))) for part in WEIGHTS}
        for run in ("base", "on")
    )
    for part in ("unet", "text_encoder"):
        assert all(torch.equal(value, on[part][name]) for name, value in base[part].items())
    changed = {name for name, value in base["vae"].items() if not torch.equal(value, on["vae"][name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)
    # With its encoder too the denoiser may stay, for latents keep their meaning.
    both = fit(samples, out=tmp_path / "both", **{**alone, "steps_of_autoencoder": 2})
    assert [name for name, stage in both["training"].items() if stage["steps"]] == ["autoencoder", "decoder"]
    kept = load_file(next((tmp_path / "both" / "unet").glob("*.safetensors")))
    assert all(torch.equal(value, kept[name]) for name, value in base["unet"].items())
    with pytest.raises(ValueError, match="steps=0: the base does not know zeppelin"):
        fit(samples, out=tmp_path / "new", **{**alone, "prompts": {"disc": "a zeppelin", "square": "a square"}})
