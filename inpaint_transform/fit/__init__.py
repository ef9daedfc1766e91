"""Fit: teach an inpainting model the objects of a labelled data set."""

import importlib
from typing import TYPE_CHECKING, Any

from inpaint_transform.fit.pictures import Sample

if TYPE_CHECKING:
    from inpaint_transform.fit.fitting import fit

__all__ = ["Sample", "fit"]


def __getattr__(name: str) -> Any:
    # Whoever wants a reader or a detector of this room does not load diffusers for it, which takes seconds.
    if name == "fit":
        # By name, as the serving loads it: this room knows the engine's front door only.
        quiet = importlib.import_module("inpaint_transform.engine.quiet").quiet
        with quiet():
            from inpaint_transform.fit.fitting import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
