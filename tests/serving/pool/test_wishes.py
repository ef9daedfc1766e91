"""Background painting as a process sees it: asked in passing, bounded, and its failures come back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from painters import Painter

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.pool import wishes as module
from inpaint_transform.serving.pool.keeper import Keeper, keeper_of
from inpaint_transform.serving.pool.wishes import Background, background_of
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import shutdown


def request(size: int) -> InpaintRequest:
    return InpaintRequest(np.zeros((size, size, 3), np.uint8), np.ones((size, size), bool), "a thing")


class Slow(Painter):
    """Is full, and waits for a go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def paint_later(self, requests, names, destination) -> float:
        self.go.wait(10)
        super().paint_later(requests, names, destination)
        return 60.0


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    keeper = keeper_of(tmp_path, 10_000_000, False, 8)
    with keeper.store.reading():  # painters only write into a pool that is there
        pass
    return keeper


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nobody_waits_and_the_oldest_wish_is_dropped(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAUSE_S", 0.0)
    painter = Slow()
    background = Background(keeper, lambda: painter)
    for number in range(module.MAX_WISHES + 200):
        background.ask(number.to_bytes(16, "big"), 0, request)
        assert background.waiting() <= module.MAX_WISHES + module.GROUP
    painter.go.set()
    wait_until(lambda: background.waiting() == 0)
    asked = sum(map(len, painter.later))
    assert module.MAX_WISHES <= asked <= module.MAX_WISHES + module.GROUP
    # The first ones too: what a painter has to do it has not told by then.
    assert max(map(len, painter.later)) <= module.TRICKLE


def test_the_end_waits_for_what_is_being_cut_out_and_nothing_is_begun_after_it(keeper: Keeper) -> None:
    """A thread that comes back from OpenCV into an interpreter that ends would abort the process."""
    painter, begun, done = Painter(), threading.Event(), []

    def slow(size: int) -> InpaintRequest:
        begun.set()
        time.sleep(2 * module.END_S)
        done.append(size)
        return request(size)

    background = Background(keeper, lambda: painter)
    with background._news:  # so that they go in one group
        for number in range(2):
            background.ask(number.to_bytes(16, "big"), 0, slow)
    assert begun.wait(10)
    background._end()
    assert len(done) == 1
    wait_until(lambda: background.waiting() == 0)
    assert (len(done), painter.later) == (1, [])


def test_the_same_is_not_asked_for_again_at_once(keeper: Keeper) -> None:
    painter = Painter()
    background = Background(keeper, lambda: painter)
    for _ in range(5):
        background.ask(b"a" * 16, 0, request)
        wait_until(lambda: background.waiting() == 0)
    background.ask(b"a" * 16, 1, request)
    wait_until(lambda: sum(map(len, painter.later)) == 2)


@pytest.mark.parametrize("error", [InpaintError("the model does not load"), ValueError("strength=7")])
def test_a_failure_comes_back_at_the_next_wish(keeper: Keeper, monkeypatch, error: Exception) -> None:
    monkeypatch.setattr(module, "MAX_PAUSE_S", 0.0)

    def fail(_: int) -> InpaintRequest:
        raise error

    background = Background(keeper, Painter)
    background.ask(b"a" * 16, 0, fail)
    wait_until(lambda: background.waiting() == 0 and background._failure is not None)
    with pytest.raises(InpaintError, match=str(error)):
        background.ask(b"b" * 16, 0, request)
    background.ask(b"b" * 16, 0, request)


def test_copies_of_a_transform_share_one(keeper: Keeper) -> None:
    first = background_of(keeper, "who", Painter)
    assert background_of(keeper, "who", Painter) is first
    assert background_of(keeper, "other", Painter) is not first


def test_a_process_that_ends_does_not_wait_for_a_painter_with_enough_to_do(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "END_S", 3600.0)
    painter = Slow()
    painter.go.set()
    background = Background(keeper, lambda: painter)
    background.ask(b"a" * 16, 0, request)
    wait_until(lambda: len(painter.later) == 1 and background._pausing)
    for number in range(9):
        background.ask(number.to_bytes(16, "big"), 0, request)
    background._end()
    assert len(painter.later) == 1
    assert background.waiting() == 9


def test_what_waits_at_a_shutdown_starts_no_server_again(keeper: Keeper) -> None:
    painter = Slow()
    painter.go.set()
    background = background_of(keeper, "shut down", lambda: painter)
    background.ask(b"a" * 16, 0, request)
    wait_until(lambda: len(painter.later) == 1 and background._pausing)
    background.ask(b"b" * 16, 0, request)
    shutdown(Process(1, 1))
    assert background.waiting() == 1  # that was another job
    shutdown()
    assert background.waiting() == 0
    background.ask(b"c" * 16, 0, request)
    assert background.waiting() == 1


def test_a_shutdown_waits_for_what_is_on_its_way(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", 10.0)
    painter = Slow()
    background = background_of(keeper, "on its way", lambda: painter)
    background.ask(b"a" * 16, 0, request)
    wait_until(lambda: background._handing_over == 1)
    threading.Timer(0.2, painter.go.set).start()
    shutdown()
    assert (background.waiting(), len(painter.later)) == (0, 1)
