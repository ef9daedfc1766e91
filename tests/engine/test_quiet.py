"""Loading says nothing on the user's terminal, and leaves the user's own settings as they were."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import diffusers
import pytest
import transformers

from inpaint_transform.engine.quiet import quiet

LOAD = """
import numpy as np
from inpaint_transform import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.local import LocalInpainter
painter = LocalInpainter(ModelSpec("tiny", steps=1, clip="tiny", serving="local"))
side = painter.size
painter.paint([InpaintRequest(np.zeros((side, side, 3), np.uint8), np.ones((side, side), bool), "a cone")])
"""


def settings() -> tuple[object, ...]:
    logs = (diffusers.utils.logging, transformers.utils.logging)
    return (
        [logging.getLogger(name).level for name in ("diffusers", "transformers", "", "mine")],
        [log.is_progress_bar_enabled() for log in logs],
        list(warnings.filters),
    )


def test_a_fresh_process_loads_and_paints_without_a_word() -> None:
    """Remarks come once a process, most of them at the import: hence one of its own, which shows every warning."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", LOAD], capture_output=True, text=True, timeout=200, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_inside_remarks_are_dropped_and_errors_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with quiet():
            logging.getLogger("transformers.some.part").warning("a remark")
            logging.getLogger("diffusers").error("an error")
            logging.getLogger("mine").warning("the user's own")
            warnings.warn("old", FutureWarning, stacklevel=1)
            warnings.warn("ours", RuntimeWarning, stacklevel=1)
    assert [str(found.message) for found in told] == ["ours"]
    assert "a remark" not in caplog.messages
    assert "the user's own" in caplog.messages


@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
def test_afterwards_all_is_as_it_was(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "level", level)
    before = settings()

    def fail() -> None:
        with quiet(), quiet():
            assert logging.getLogger("transformers").level == max(level, logging.ERROR)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert settings() == before


def test_threads_that_load_at_once_leave_no_trace() -> None:
    before = settings()
    barrier = threading.Barrier(8)

    def load(_: int) -> None:
        barrier.wait()
        for _ in range(50):
            with quiet():
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, range(8)))
    assert settings() == before
