"""Which training job a process belongs to."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from types import SimpleNamespace

import psutil
import pytest

from inpaint_transform.serving import session
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.session import current_session


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_session", None)


def child_of(monkeypatch: pytest.MonkeyPatch, pid: int) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=pid))


def test_a_process_that_the_user_has_started_owns_its_servers() -> None:
    assert current_session() == Process.of(os.getpid())


def test_a_child_belongs_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    child_of(monkeypatch, os.getppid())
    assert current_session() == Process.of(os.getppid())
    assert current_session().alive()


@pytest.mark.parametrize("reaped", [True, False])
def test_a_child_whose_parent_has_ended_belongs_to_nobody(monkeypatch: pytest.MonkeyPatch, reaped: bool) -> None:
    parent = subprocess.Popen(["true"])
    while psutil.Process(parent.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    if reaped:
        parent.wait()
    child_of(monkeypatch, parent.pid)
    assert current_session().pid == parent.pid
    assert not current_session().alive()
    parent.wait()


def test_who_has_the_parents_pid_since_is_not_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    younger = subprocess.Popen(["sleep", "100"])
    child_of(monkeypatch, younger.pid)
    monkeypatch.setattr(session.os, "getpid", lambda: os.getppid())  # older than that
    assert not current_session().alive()
    younger.kill()
    younger.wait()


def test_the_owner_stays_while_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    first = current_session()
    child_of(monkeypatch, os.getppid())  # as in a fork of this process
    assert current_session() == first
