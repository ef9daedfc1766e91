"""The supervisor ends as its command does, and the command with all of its processes once the study is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from inpaint_transform.tools.study import supervise


def start(command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", supervise.__file__, command], stdin=subprocess.PIPE, start_new_session=True
    )


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)
    return path.read_text()


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 60
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.01)


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 3", 3), ("kill -9 $$", 137), ("nonesuch-xyz", 127)])
def test_it_ends_as_its_command_does(command: str, code: int) -> None:
    process = start(f"{command} 2>/dev/null")
    assert process.wait(30) == code
    process.stdin.close()


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    process = start(f"sleep 600 & echo $! > {tmp_path}/pid; exit 0")
    assert process.wait(30) == 0
    wait_until_gone(int(wait_for(tmp_path / "pid")))
    process.stdin.close()


@pytest.mark.parametrize("deaf", [False, True])
def test_a_command_ends_with_the_study_even_if_it_is_deaf(
    tmp_path: Path, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = "trap '' TERM; " if deaf else ""
    short = tmp_path / "supervise.py"  # with less grace
    short.write_text(Path(supervise.__file__).read_text().replace("GRACE_S = 35.0", "GRACE_S = 0.3"))
    monkeypatch.setattr(supervise, "__file__", str(short))
    process = start(f"{trap}sleep 600 & echo $! $$ > {tmp_path}/pids; wait; sleep 600")
    pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
    process.stdin.close()  # as the system does when the study is killed
    process.wait(30)
    wait_until_gone(*pids)
