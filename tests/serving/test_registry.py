"""One inpainter for a spec in a process."""

from __future__ import annotations

import multiprocessing
import threading
from types import SimpleNamespace

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving import placement
from inpaint_transform.serving import registry as module
from inpaint_transform.serving.client import launch
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import connect
from inpaint_transform.serving.session import current_session

LOCAL = ModelSpec("connected", device="cpu", serving="local")
SHARED = ModelSpec("connected", device="cpu", serving="shared")


def test_the_same_spec_has_the_same_inpainter() -> None:
    assert connect(LOCAL) is connect(ModelSpec("connected", device="cpu", serving="local"))
    assert connect(LOCAL) is not connect(ModelSpec("connected", device="cpu", serving="local", steps=3))
    assert isinstance(connect(LOCAL), LocalInpainter)
    assert isinstance(connect(SHARED), SharedInpainter)


def test_what_the_library_fills_in_makes_no_other_inpainter() -> None:
    assert connect(SHARED) is connect(ModelSpec("connected", device="cpu", serving="shared", steps=20))


def test_a_job_that_is_over_is_replaced_by_this_one() -> None:
    over = Process(current_session().pid, current_session().started - 1000)
    assert connect(SHARED, over) is connect(SHARED, current_session())


def test_a_worker_that_cannot_share_says_once_that_it_has_a_copy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on Windows."""
    monkeypatch.setattr(placement, "CAN_SHARE", False)
    registry = module._Registry()
    auto = ModelSpec("connected", device="cpu")
    assert isinstance(registry.get(auto, None), LocalInpainter)
    assert not caplog.records
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=1))
    for steps in (1, 2):
        assert isinstance(registry.get(ModelSpec("connected", device="cpu", steps=steps), None), LocalInpainter)
    assert len([record for record in caplog.records if "BatchInpaint" in record.message]) == 1


def test_an_exit_at_which_the_system_refuses_everything_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    # This process goes on, and tests after this one start servers.
    monkeypatch.setattr(launch, "_ending", threading.Event())
    monkeypatch.setattr(module, "shutdown", refuse)
    module._shutdown_own()
