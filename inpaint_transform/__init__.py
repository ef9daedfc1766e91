"""Repaint labelled boxes with a diffusion model, on the fly, inside an augmentation pipeline."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inpaint_transform.core.errors import InpaintError
    from inpaint_transform.core.models import PRESETS, ModelSpec
    from inpaint_transform.core.reuse import Reuse
    from inpaint_transform.core.swaps import Swap
    from inpaint_transform.faces.albumentations import BBoxInpaint
    from inpaint_transform.faces.visualize import visualize, visualize_batch

__version__ = "0.1.0"
__all__ = ["PRESETS", "BBoxInpaint", "InpaintError", "ModelSpec", "Reuse", "Swap", "visualize", "visualize_batch"]

# Albumentations takes seconds to import; the command line's --help and the spec need none of it.
_HOMES = {
    "BBoxInpaint": "faces.albumentations",
    "InpaintError": "core.errors",
    "ModelSpec": "core.models",
    "PRESETS": "core.models",
    "Reuse": "core.reuse",
    "Swap": "core.swaps",
    "visualize": "faces.visualize",
    "visualize_batch": "faces.visualize",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
