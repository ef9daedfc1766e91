"""A sketch shows what a decoder would, is learnt once, and is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from inpaint_transform.fit import architecture, sketch
from inpaint_transform.fit.denoise import Latents


def test_the_sketch_looks_like_the_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sketch, "STEPS", 150)
    vae = architecture.build("minute", ["a disc"], 0).vae
    given = torch.randn((64, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    latents = Latents(given.half(), given.half(), torch.ones((64, 1, 16, 16), dtype=torch.bool), [None] * 64)
    drawn = sketch.learn(vae, latents, 0, tmp_path / "sketch.pt")
    with torch.no_grad():
        wanted = functional.avg_pool2d(vae.decode(given).sample, 2)
        error = (drawn(given) - wanted).square().mean() / wanted.var()
        assert error < 0.5
        again = sketch.learn(vae, latents, 0, tmp_path / "sketch.pt")
        assert torch.equal(drawn(given), again(given))
