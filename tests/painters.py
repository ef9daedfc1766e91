"""Inpainters without a model that give every leak away."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult
from inpaint_transform.faces import editor
from inpaint_transform.serving.pool.raw import keep_raw

SIZE = 32


class Painter:
    """Paints a colour made of prompt and seed inside the mask and garbage outside it; rejects the first seeds asked.

    Attributes:
        calls: The requests of every call.
        later: The requests of every call for which nobody waits.
        rejects: How many rounds of calls are rejected.
    """

    size = SIZE

    def __init__(self, rejects: int = 0) -> None:
        self.calls: list[list[InpaintRequest]] = []
        self.later: list[list[InpaintRequest]] = []
        self.rejects = rejects

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        self.calls.append(list(requests))
        if len(self.calls) <= self.rejects:
            return [InpaintResult(None, "near constant")] * len(requests)
        return [InpaintResult(painted(request)) for request in requests]

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """What a server does when nobody waits, at once."""
        self.later.append(list(requests))
        keep_raw(destination, names, [InpaintResult(painted(request)) for request in requests])
        return 0.0

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


def painted(request: InpaintRequest) -> np.ndarray:
    digest = hashlib.sha256(f"{request.prompt}|{request.seed}".encode()).digest()
    garbage = np.random.default_rng(0).integers(0, 256, request.image.shape, np.uint8)
    return np.where(request.mask[:, :, None], np.frombuffer(digest[:3], np.uint8), garbage)


def hand_in(monkeypatch: pytest.MonkeyPatch, stand_in: Painter) -> Painter:
    """Let all transforms be painted for by a stand-in."""
    monkeypatch.setattr(editor, "connect_inpainter", lambda spec, session: stand_in)
    return stand_in
