"""Private pools end with their jobs, however those end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inpaint_transform.serving.pool import private
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.session import current_session


def test_all_of_a_job_find_the_same_folder_and_that_of_a_killed_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = private.private_folder(current_session())
    mine.mkdir()
    (mine / "data.mdb").write_text("x")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = private.private_folder(Process.of(process.pid))
    theirs.mkdir()
    assert private.private_folder(current_session()) == mine
    assert theirs.exists()
    process.kill()
    process.communicate()
    private.private_folder(current_session())
    assert not theirs.exists()
    assert mine.exists()
    private.sweep(current_session())
    assert not mine.exists()


def test_other_folders_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    user = os.getuid()
    kept = [tmp_path / f"inpaint-transform-pool-{user}-notes", tmp_path / f"inpaint-transform-pool-{user + 1}-1-1"]
    for folder in kept:
        folder.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f"inpaint-transform-pool-{user}-4000000-1").symlink_to(outside)
    private.sweep()
    assert all(folder.exists() for folder in (*kept, outside))
