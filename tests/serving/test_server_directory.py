"""A server's private directory: who is in it, and what lies in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.server_directory import (
    NotPrivateError,
    ServerDirectory,
    directories_of,
    directory_for,
    sweep,
)

SESSION = Process(1, 2)


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # socket paths are short
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    yield path
    shutil.rmtree(path)


def test_equal_keys_meet_and_others_do_not(base: Path) -> None:
    assert directory_for(SESSION, {"a": 1, "b": 2}) == directory_for(SESSION, {"b": 2, "a": 1})
    assert len({directory_for(session, key) for session in (SESSION, Process(1, 3)) for key in (1, 2)}) == 4
    assert directory_for(SESSION, 1).path.parent == base


def test_it_is_occupied_as_long_as_its_lock_is_open(base: Path) -> None:
    place = directory_for(SESSION, 1)
    with place.held():
        assert not place.occupied()
        lock = place.occupy()
        assert place.occupied()
        assert place.is_locked_by(lock)
    place.remove_if_dead()
    assert place.occupied()
    os.close(lock)
    assert not place.occupied()
    place.remove_if_dead()
    assert not place.path.exists()


def test_a_lock_of_one_server_is_not_that_of_the_next(base: Path) -> None:
    place = directory_for(SESSION, 1)
    with place.held():
        first = place.occupy()
        place.lock.unlink()
        assert not place.is_locked_by(first)
        second = place.occupy()
        assert place.is_locked_by(second)
        assert not place.is_locked_by(first)
    os.close(first)
    os.close(second)


def test_who_holds_it_keeps_others_from_clearing_it_away(base: Path) -> None:
    place = directory_for(SESSION, 1)
    with place.held():
        assert not place.remove_if_dead()
        assert place.path.exists()
        with pytest.raises(BlockingIOError), place.held(create=False):
            pass
    assert place.remove_if_dead()
    assert not place.path.exists()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_what_others_can_reach_is_refused_with_the_mend(base: Path, mode: int) -> None:
    place = directory_for(SESSION, 1)
    place.path.mkdir()
    place.path.chmod(mode)
    with pytest.raises(NotPrivateError, match=f"has mode {mode:o}.*chmod 700"):
        place.check()
    assert directory_for(SESSION, 1) == place  # this user's: another name would hide the mistake
    assert not place.is_own()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_what_is_no_directory_is_passed_over(base: Path, kind: str) -> None:
    place = directory_for(SESSION, 1)
    if kind == "file":
        place.path.touch()
    else:
        place.path.symlink_to(base if kind == "link" else base / "nowhere")
    with pytest.raises(NotPrivateError, match="is not a directory; remove it, or set XDG_RUNTIME_DIR"):
        place.check()
    other = directory_for(SESSION, 1)
    assert other.path.name == f"{place.path.name}-2"
    with other.held():
        pass
    assert directory_for(SESSION, 1) == other
    assert other in directories_of(SESSION)
    place.path.unlink()
    assert directory_for(SESSION, 1) == other  # all processes of the job stay together


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_name_of_another_user_is_passed_over(base: Path) -> None:
    names = []
    for _ in range(4):
        place = directory_for(SESSION, 1)
        names.append(place.path.name)
        place.path.mkdir(0o700)
        os.chown(place.path, 12345, 12345)
    assert len(set(names)) == 4
    assert directories_of(SESSION) == []
    with pytest.raises(NotPrivateError, match="belongs to user 12345"):
        directory_for(SESSION, 1).check()


def test_the_longest_name_is_short_enough_for_a_socket(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    for length in range(60, 110):
        deep = base / ("x" * (length - len(str(base)) - 1))
        deep.mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
        place = directory_for(SESSION, 1)
        assert len(os.fsencode(place.path.with_name(f"{place.path.name}-4") / "socket")) <= 103


def test_without_any_folder_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InpaintError, match="set XDG_RUNTIME_DIR or TMPDIR"):
        directory_for(SESSION, 1)


def test_only_what_a_server_leaves_is_taken_for_such(base: Path) -> None:
    place = ServerDirectory(base / "by hand")
    place.path.mkdir(0o700)
    assert not place.holds_something_else()
    with place.held():
        os.close(place.occupy())
    place.log.write_text("it ended")
    assert not place.holds_something_else()
    (place.path / "thesis.tex").touch()
    assert place.holds_something_else()
    (place.path / "thesis.tex").unlink()
    place.lock.write_text("somebody's")
    assert place.holds_something_else()


def test_sweeping_removes_the_dead_and_leaves_the_living(base: Path) -> None:
    dead, living = directory_for(SESSION, 1), directory_for(SESSION, 2)
    locks = []
    for place in (dead, living):
        with place.held():
            locks.append(place.occupy())
    os.close(locks[0])
    sweep()
    assert not dead.path.exists()
    assert living.path.exists()
    os.close(locks[1])


def test_the_end_of_the_log_is_what_is_shown(base: Path) -> None:
    place = ServerDirectory(base)
    assert place.log_tail() == "its log is gone"
    place.log.write_text("\n")
    assert place.log_tail() == "its log is empty"
    place.log.write_text("x" * 3000 + "the reason\n")
    assert place.log_tail(10) == "its log ends:\nthe reason"


def test_an_identity_is_read_back_or_is_none(base: Path) -> None:
    place = ServerDirectory(base)
    assert place.server() is None
    place.identity.write_text("12")
    assert place.server() is None
    place.identity.write_text("12:34")
    assert place.server() == Process(12, 34)
