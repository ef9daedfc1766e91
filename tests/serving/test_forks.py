"""What a forked child must not inherit, by whatever library it was forked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving import forks
from inpaint_transform.serving.forks import call_after_fork, is_forked, no_fork
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.placement import resolve_serving
from inpaint_transform.serving.registry import connect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")


def in_fork(question: Callable[[], bool]) -> bool:
    """What a child that ``os.fork`` has made answers."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if question() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_fork_knows_that_it_is_one() -> None:
    assert not is_forked()
    assert in_fork(is_forked)
    assert not is_forked()


def test_auto_goes_to_the_server_in_any_fork() -> None:
    spec = ModelSpec("tiny", device="cpu")
    assert resolve_serving(spec) == "local"
    assert isinstance(connect(spec), LocalInpainter)
    assert in_fork(lambda: resolve_serving(spec) == "shared" and not isinstance(connect(spec), LocalInpainter))


class Owner:
    state = "full"


def test_owners_are_reset_in_the_child_alone() -> None:
    owner = Owner()
    call_after_fork(owner, lambda one: setattr(one, "state", "empty"))
    assert in_fork(lambda: owner.state == "empty")
    assert owner.state == "full"


def test_owners_are_held_weakly() -> None:
    owner = Owner()
    call_after_fork(owner, lambda _: None)
    before = len(forks._resets)
    del owner
    assert len(forks._resets) == before - 1


def test_a_fork_waits_for_descriptors_that_it_must_not_get() -> None:
    inside, order = threading.Event(), []

    def hold() -> None:
        with no_fork:
            inside.set()
            order.append("closed")

    with no_fork:
        forking = threading.Thread(target=lambda: order.append(in_fork(lambda: True)))
        forking.start()
        forking.join(0.3)
        assert order == []
    forking.join()
    hold()
    assert order == [True, "closed"]
    assert in_fork(lambda: not no_fork.locked())
