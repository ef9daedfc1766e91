"""What the tests of the shared server have in common."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import standins

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import shutdown
from inpaint_transform.serving.session import current_session

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WITHIN_S = 5.0
# Long enough for a process to start on a machine that does much else.
PATIENCE_S = 60.0

_numbers = itertools.count()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for server directories, which must be empty again after the test; engine: ``Invert``."""
    path = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # socket paths are short
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(HERE)]))
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Invert")
    try:
        yield path
        shutdown()
        assert left_in(path) == []
    finally:
        shutil.rmtree(path)


def left_in(runtime: Path) -> list[str]:
    # Not rglob: a directory may vanish while it is being listed, and os.walk does not mind.
    return sorted(name for _, folders, files in os.walk(runtime) for name in (*folders, *files))


def shared(number: int | None = None, **fields: object) -> SharedInpainter:
    """A client of a server of its own, or of the same one for the same number and fields."""
    number = next(_numbers) if number is None else number
    return SharedInpainter(spec(number, **fields), current_session())


def spec(number: int, **fields: object) -> ModelSpec:
    return ModelSpec(f"stand-in {number}", device="cpu", serving="shared", **fields)


def request(prompt: str = "", seed: int = 0, side: int = standins.SIZE, strength: float = 1.0) -> InpaintRequest:
    """A crop and mask that depend on the seed."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side, side, 3), np.uint8)
    return InpaintRequest(image, rng.random((side, side)) < 0.5, prompt, strength=strength, seed=seed)


def is_right(result, asked: InpaintRequest) -> bool:
    return result.rejected is None and np.array_equal(result.image, standins.expected(asked))


def wait_until(condition: Callable[[], bool], seconds: float = WITHIN_S) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def server_of(client: SharedInpainter) -> Process:
    return Process.of(client.stats()["pid"])


PRELUDE = """
import json, os, signal, sys, threading, time, multiprocessing
# As in a terminal, however the tests were started: a job in the background ignores the one, one under nohup the other.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
import numpy as np
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import connect
from inpaint_transform.serving.session import current_session
from inpaint_transform.core.models import ModelSpec
from serving import request, is_right, spec

def say(*values):
    print(json.dumps(values), flush=True)

def identity(pid):  # said by the script itself, for the process may have ended before a test can look at it
    return str(Process.of(pid))
"""


def start_script(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code as a training script of its own: a process group, a session, an owner."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_script(code: str, *arguments: object) -> list[str]:
    """Run code to its end and return the lines it printed."""
    process = start_script(code, *arguments)
    out, errors = process.communicate(timeout=PATIENCE_S * 2)
    assert process.returncode == 0, errors
    return out.splitlines()
