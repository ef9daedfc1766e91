"""What several test modules share: an inpainter without a model that gives every leak away."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult
from inpaint_transform.faces import editor
from inpaint_transform.serving.connect import shutdown
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.pool.raw import keep_raw

# Its assertions fail as readably as those of the test modules that subclass it.
pytest.register_assert_rewrite("contract", "commands")

SIZE = 32
HERE = Path(__file__).parent


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

    def paint_later(self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination) -> bool:
        """What a server does when nobody waits, at once."""
        self.later.append(list(requests))
        keep_raw(destination, names, [InpaintResult(painted(request)) for request in requests])
        return False

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


def painted(request: InpaintRequest) -> np.ndarray:
    digest = hashlib.sha256(f"{request.prompt}|{request.seed}".encode()).digest()
    garbage = np.random.default_rng(0).integers(0, 256, request.image.shape, np.uint8)
    return np.where(request.mask[:, :, None], np.frombuffer(digest[:3], np.uint8), garbage)


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """The inpainter of every ``BBoxInpaint`` of either face; forked workers inherit it."""
    return hand_in(monkeypatch, Painter())


def hand_in(monkeypatch: pytest.MonkeyPatch, stand_in: Painter) -> Painter:
    """Let all transforms be painted for by a stand-in."""
    monkeypatch.setattr(editor, "connect_inpainter", lambda spec, session: stand_in)
    return stand_in


@pytest.fixture
def inverting(monkeypatch):
    """The stand-in engine that inverts, in this process and in servers."""
    runtime = tempfile.mkdtemp(prefix="rt-", dir="/tmp")  # socket paths are short
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parent), str(HERE / "integration")]))
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Invert")
    monkeypatch.syspath_prepend(str(HERE / "integration"))
    sys.modules.pop("standins", None)
    yield
    shutdown()
    shutil.rmtree(runtime)
