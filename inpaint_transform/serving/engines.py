"""Making the engine that paints, in this process or in the server."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol

import psutil

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.threads import paced

# "module:factory". Tests and benchmarks of the serving need engines that sleep, fail, hang or do nothing, which no
# ModelSpec can describe and none should. The environment reaches a server at whichever process starts it, and nothing
# that comes over the wire can set it.
ENGINE_VARIABLE = "INPAINT_TRANSFORM_ENGINE"


class EngineLostError(InpaintError):
    """The engine paints no more, and only one in a new process can."""


class PaintingEngine(Protocol):
    """What ``engine.Engine`` answers; used by one thread at a time, or by as many as its ``slots`` if it has any."""

    size: int

    def paint(self, requests: Sequence[InpaintRequest]) -> Sequence[InpaintResult | Exception]:
        """Paint every request, order kept; an error in place of a result is that request's only."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


def engine_name() -> str:
    """The engine's factory as ``module:name``."""
    return os.environ.get(ENGINE_VARIABLE, "inpaint_transform.engine:Engine")


def load_engine(spec: ModelSpec) -> PaintingEngine:
    """Load the model, or find the painters that have; diffusers and Ray are imported only here."""
    if spec.serving == "ray":
        from inpaint_transform.serving.ray.ray_engine import RayEngine

        return RayEngine(spec)
    module, _, factory = engine_name().partition(":")
    return paced(getattr(importlib.import_module(module), factory)(spec), spec)


def memory_bytes() -> dict[str, int]:
    """Memory of this process: resident, and on the CUDA device where it uses one."""
    found = {"resident_bytes": psutil.Process().memory_info().rss}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["device_bytes"] = torch.cuda.memory_reserved()
    return found
