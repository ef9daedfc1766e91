"""The card: what it says and how to use what it lies beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inpaint_transform.fit import Sample, card


@pytest.mark.parametrize(
    ("whole", "use"),
    [
        (True, 'ModelSpec("out", size=64, steps=10, guidance_scale=2)'),
        (False, 'ModelSpec("sd15", lora="out", size=64)'),
    ],
)
def test_the_card(samples: list[Sample], tmp_path: Path, whole: bool, use: str) -> None:
    start = card.make("sd15", whole, 64, samples[:9], samples[9:], None, "the command", {"steps": 3})
    stages: dict[str, Any] = {"denoiser": {"steps": 3}}
    done = card.finish(start, stages, 61.2, ["too few"], {"steps": 10, "guidance_scale": 2.0}, None)
    out = tmp_path / "out"
    out.mkdir()
    card.write(done, out)
    assert json.loads((out / "fit.json").read_text()) == done
    assert done["seconds"] == 61
    assert done["data"]["licence"] == "not stated"
    assert done["versions"]["torch"]
    text = (out / "README.md").read_text()
    for part in (
        use,
        "disc 9, square 9",
        "3 held out",
        "the command",
        "denoiser 3 steps",
        "Warning: too few.",
        "Not eval",
    ):
        assert part in text
