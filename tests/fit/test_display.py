"""What is shown of a training never ends it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_full import NOTHING

from inpaint_transform.fit import Sample, fit, sheets


def test_too_little_memory_for_a_sheet_does_not_end_the_training(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(sheets, "edit_sheet", fail)
    card = fit(samples, out=folder, steps=4, **{**NOTHING, "steps_of_autoencoder": 1, "steps_of_decoder": 0})
    assert card["training"]["denoiser"]["steps"] == 4
    assert "no sheet at step 4: too little memory" in caplog.text
