"""The manifest: files are on the disk before a line speaks of them, and one bad name stops nothing else."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from dataset_files import picture

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.datasets import manifest
from inpaint_transform.datasets.files import BrokenFileError
from inpaint_transform.datasets.formats.base import Part
from inpaint_transform.datasets.manifest import Manifest, check_apart, link_whole, write_whole


def test_files_and_folders_reach_the_disk_before_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_write = os.fsync, os.write

    def fsync(descriptor: int) -> None:
        events.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def write(descriptor: int, content: bytes) -> int:
        events.append(json.loads(content.splitlines()[0]).get("key", "arguments"))
        return real_write(descriptor, content)

    monkeypatch.setattr(manifest.os, "fsync", fsync)
    monkeypatch.setattr(manifest.os, "write", write)
    with Manifest(tmp_path / "out", {}) as state:
        place = tmp_path / "out" / "images" / "a.png"
        write_whole(place, b"pixels")
        state.add({"train/a.png": {}}, [place])
    assert events == ["arguments", str(place), str(place.parent), "train/a.png"]


def test_records_are_there_again(tmp_path: Path) -> None:
    with Manifest(tmp_path, {"seed": 1}) as state:
        state.add({"a": {"accepted": 1}, "b": {"accepted": 2}})
        state.add({"a": {"accepted": 3}})
    with Manifest(tmp_path, {"seed": 1}) as state:
        assert {key: record["accepted"] for key, record in state.records.items()} == {"a": 3, "b": 2}
    with pytest.raises(ValueError, match="begun with seed=1, and now it is 2"):
        Manifest(tmp_path, {"seed": 2})


@pytest.mark.parametrize("call", [lambda path: write_whole(path, b"x"), lambda path: link_whole(path, Path(__file__))])
def test_a_name_that_cannot_be_is_a_problem_of_that_file(tmp_path: Path, call: object) -> None:
    with pytest.raises(BrokenFileError, match="File name too long"):
        call(tmp_path / ("a" * 300))
    write_whole(tmp_path / ("a" * 255), b"x")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


@pytest.mark.parametrize(
    ("number", "mend"), [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "mend that")]
)
def test_only_a_full_disk_asks_for_room(number: int, mend: str) -> None:
    said = str(manifest.unwritable(Path("a.png"), OSError(number, os.strerror(number))))
    assert mend in said
    assert ("make room" in said) == (mend == "make room")
    assert "the same command goes on" in said


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    with pytest.raises(InpaintError, match=r"(File exists|Not a directory).*mend that"):
        write_whole(tmp_path / "images" / "a.png", b"x")


def test_a_link_replaces_what_a_broken_off_run_left(tmp_path: Path) -> None:
    source, other = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", 1)
    place = tmp_path / "out" / "a.png"
    for content in (source, source, other):
        assert link_whole(place, content)
        assert place.samefile(content)


def test_the_target_lies_apart_from_what_is_read(tmp_path: Path) -> None:
    source = tmp_path / "s"
    part = Part(source / "images", tmp_path / "labels", ())
    for target in (source, source / "augmented", tmp_path, tmp_path / "labels" / "new"):
        with pytest.raises(ValueError, match="overlaps.*outside of it"):
            check_apart(target, source, [part])
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(ValueError, match="overlaps"):
        check_apart(tmp_path / "link" / "new", source, [part])
    check_apart(tmp_path / "s2", source, [part])
