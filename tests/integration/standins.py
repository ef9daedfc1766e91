"""Engines without a model for the tests of the serving, named by the environment variable that ``engines.py`` reads."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult

SIZE = 16


class Invert:
    """Paints the inverse of the image inside the mask, and does as the prompt says.

    Prompts: ``sleep S``, ``hold S`` (sleep in native code that keeps the lock of the interpreter), ``hang``,
    ``raise TEXT``, ``value TEXT`` (a ValueError), ``reject``, ``die`` (SIGKILL to its own process), ``die once PATH``
    (only if PATH does not exist yet), ``odd`` (a result that cannot be sent). Anything else just paints.
    """

    size = SIZE

    def __init__(self, spec: ModelSpec) -> None:
        pass

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [self._paint(request) for request in requests]

    def _paint(self, request: InpaintRequest) -> InpaintResult:
        verb, _, rest = request.prompt.partition(" ")
        if verb == "sleep":
            time.sleep(float(rest))
        elif verb == "hold":
            hold(int(rest))
        elif verb == "hang":
            time.sleep(3600)
        elif verb == "raise":
            raise RuntimeError(rest)
        elif verb == "value":
            raise ValueError(rest)
        elif verb == "odd":
            return InpaintResult(expected(request), answer=(float("nan"),))
        elif verb == "reject":
            return InpaintResult(None, "near constant")
        elif verb == "die":
            if not rest:
                os.kill(os.getpid(), signal.SIGKILL)
            mark = Path(rest.partition(" ")[2])
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return InpaintResult(expected(request))

    def close(self) -> None:
        pass


def expected(request: InpaintRequest):
    """What ``Invert`` paints."""
    image = request.image.copy()
    image[request.mask] = 255 - image[request.mask]
    return image


def hold(seconds: int) -> None:
    """What native code does that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(seconds)


class Holding(Invert):
    """Keeps the interpreter's lock while it loads."""

    def __init__(self, spec: ModelSpec) -> None:
        hold(3600)


class Noise(Invert):
    """Paints noise that the seed decides, as a real model does."""

    size = PRESETS["tiny"].size  # for which it stands in: a client remembers the size

    def _paint(self, request: InpaintRequest) -> InpaintResult:
        noise = np.random.default_rng(request.seed).integers(0, 256, request.image.shape, np.uint8)
        return InpaintResult(np.where(request.mask[:, :, None], noise, request.image))


class NoOp(Invert):
    """Returns the image as it came, of any size."""

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [InpaintResult(request.image) for request in requests]


class Copyist(Invert):
    """Paints the colour that its reference has in the middle, and black without one."""

    def _paint(self, request: InpaintRequest) -> InpaintResult:
        time.sleep(0.02)  # in which other answers may be written
        color = 0 if request.reference is None else request.reference[256, 256]
        return InpaintResult(np.where(request.mask[:, :, None], color, request.image).astype(np.uint8))


class Crowded(Invert):
    """What it paints depends on how many share its call, as a real engine's rounding does."""

    size = 64

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        super().paint(requests)
        return [InpaintResult(request.image // 2 + np.uint8(len(requests) + request.seed % 50)) for request in requests]


class Broken(Invert):
    """Does not load."""

    def __init__(self, spec: ModelSpec) -> None:
        time.sleep(0.5)
        raise FileNotFoundError(f"id={spec.id!r}: there is no such folder (attempt of process {os.getpid()})")


class TooLarge(Invert):
    """Does not fit into the memory."""

    def __init__(self, spec: ModelSpec) -> None:
        time.sleep(0.5)
        raise MemoryError(f"{spec.id!r} wants 7 exbibytes (attempt of process {os.getpid()})")


class Dying(Invert):
    """Kills its process while it loads, as the kernel does when memory runs out."""

    def __init__(self, spec: ModelSpec) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Invert):
    """Takes for ever to load."""

    def __init__(self, spec: ModelSpec) -> None:
        time.sleep(3600)


def by_id(spec: ModelSpec):
    """Whichever engine the first word of the model's name asks for, for painters whose environment is their node's."""
    if spec.id == PRESETS["tiny"].id:
        from inpaint_transform.engine import Engine

        return Engine(spec)
    return {"broken": Broken, "cramped": cramped, "crowded": Crowded}.get(spec.id.partition(" ")[0], Invert)(spec)


def cramped(spec: ModelSpec):
    """The embedded model on a device that has memory for one crop at a time."""
    import torch

    from inpaint_transform.engine import Engine

    class Cramped(Engine):
        def _paint_batch(self, requests):
            if len(requests) > 1:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return super()._paint_batch(requests)

    return Cramped(dataclasses.replace(spec, id=PRESETS["tiny"].id))
