"""torchvision for the tests: where it is missing they are skipped; a build for CUDA beside a CPU torch will do."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)
try:
    import torchvision
except RuntimeError:
    # Such a build cannot load its compiled operators, and stops at the first that it wants to describe. The transforms
    # use none of them: it is enough that the names exist.
    OPERATORS = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
