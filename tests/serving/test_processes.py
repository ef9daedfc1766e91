"""Processes by identity: alive, ended, recycled, unreaped."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from inpaint_transform.serving import processes
from inpaint_transform.serving.processes import Process, wait_for_any


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def until_zombie(process: subprocess.Popen[bytes]) -> None:
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_this_process_lives_and_survives_writing_down() -> None:
    own = Process.of(os.getpid())
    assert own.alive()
    assert Process.parse(str(own)) == own
    assert Process.of(os.getpid()) == own


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "a:b", "1:"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever
        Process.parse(text)


def test_an_ended_process_that_nobody_has_reaped_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    before = Process.of(sleeper.pid)
    assert before.alive()
    sleeper.kill()
    until_zombie(sleeper)
    assert not before.alive()
    after = Process.of(sleeper.pid)
    assert after != before
    assert not after.alive()
    sleeper.wait()
    assert not before.alive()
    assert Process.of(sleeper.pid) == Process(sleeper.pid, 0)


def test_a_stopped_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert Process.of(sleeper.pid).alive()


def test_a_recycled_pid_is_another_process(sleeper: subprocess.Popen[bytes]) -> None:
    now = Process.of(sleeper.pid)
    old = Process(now.pid, now.started - 500)
    assert not old.alive()
    old.kill()
    with pytest.raises(ProcessLookupError):
        old.open_pidfd()
    assert sleeper.poll() is None
    now.kill()
    assert sleeper.wait(10) == -signal.SIGKILL


def test_nobody_lives_without_a_start_time() -> None:
    assert not Process(os.getpid(), 0).alive()


def test_a_new_time_of_day_changes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Process.of(os.getpid())
    boot, created = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 7200)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created + 7200)
    processes._known.clear()
    assert Process.of(os.getpid()) == own
    assert own.alive()


def test_a_time_of_day_that_is_set_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    boots = iter([1000.0, 8200.0, 8200.0, 8200.0])
    monkeypatch.setattr(psutil, "boot_time", lambda: next(boots))
    assert processes._start_time(SimpleNamespace(create_time=lambda: 8205.0)) == 500


def test_without_descriptors_a_process_is_not_taken_for_dead() -> None:
    own = Process.of(os.getpid())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        assert own.alive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


@pytest.mark.parametrize("watched", [True, False], ids=["by descriptor", "by asking"])
@pytest.mark.parametrize("reaped", [True, False])
def test_waiting_ends_with_the_first_end(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, watched: bool, reaped: bool
) -> None:
    if not watched:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"])
    both = [Process.of(sleeper.pid), Process.of(other.pid)]
    wait_for_any(both)
    assert [process.alive() for process in both] == [True, False]
    if reaped:
        other.wait()
    wait_for_any(both)  # at once
    other.wait()


def test_waiting_has_a_limit(sleeper: subprocess.Popen[bytes]) -> None:
    wait_for_any([Process.of(sleeper.pid)], 0.05)
    assert sleeper.poll() is None
