"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import inpaint_transform
from inpaint_transform.tiny import CHECKPOINT

ROOT = Path(inpaint_transform.__file__).parent
# These examples paint with the embedded model.
PAINTING = {"inpaint_transform.faces.albumentations", "inpaint_transform.faces.torchvision"}


FOUND = [path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
MODULES = [".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)) for path in FOUND]


def test_there_are_examples() -> None:
    assert PAINTING | {"inpaint_transform.core.plan", "inpaint_transform.core.models"} <= set(MODULES)


@pytest.mark.parametrize("name", [pytest.param(m, marks=[pytest.mark.slow] * (m in PAINTING)) for m in MODULES])
def test_examples(name: str) -> None:
    if name in PAINTING and not (CHECKPOINT / "model_index.json").exists():
        pytest.skip("the embedded checkpoint is not here")
    if name == "inpaint_transform.faces.torchvision":
        importlib.import_module("vision")  # skips where there is no torchvision
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
