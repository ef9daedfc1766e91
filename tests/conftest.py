"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# Before torch is loaded, and for every process that the tests start. Models as small as those of the tests gain nothing
# from a second thread, and beside servers and workers the threads of OpenMP spin longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from painters import Painter, hand_in

from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.registry import shutdown

# Its assertions fail as readably as those of the test modules that subclass it.
pytest.register_assert_rewrite("contract", "commands")

HERE = Path(__file__).parent


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """The inpainter of every ``BBoxInpaint`` of either face; forked workers inherit it."""
    return hand_in(monkeypatch, Painter())


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
