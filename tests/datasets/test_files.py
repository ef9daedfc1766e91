"""Label files: what is no file is refused before it is waited for, and YAML says what is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inpaint_transform.datasets.files import BrokenFileError, read_bytes, read_yaml


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_pipes_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "link.txt").symlink_to("/dev/zero")
    (tmp_path / "folder.txt").mkdir()
    for name in ("pipe.txt", "link.txt", "folder.txt"):
        with pytest.raises(BrokenFileError, match=rf"{name}: a folder, a pipe or a device"):
            read_bytes(tmp_path / name)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BrokenFileError, match=r"gone.txt: No such file"):
        read_bytes(tmp_path / "gone.txt")


def test_yaml_keeps_the_text_of_every_scalar(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("names: [no, off, yes, 1_000, 0x1F, 2020-01-01, ~, 1.0, 'quoted', null]\n")
    expected = ["no", "off", "yes", "1_000", "0x1F", "2020-01-01", "~", "1.0", "quoted", "null"]
    assert read_yaml(tmp_path / "a.yaml") == {"names": expected}


@pytest.mark.parametrize(
    ("content", "line"),
    [("a: 1\nb: 2\na: 3\n", ":3: "), ("names: {0: car, 0: dog}\n", ":1: "), ("? [a]\n: b\n", ":1: ")],
)
def test_a_key_that_stands_there_twice_is_refused(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(BrokenFileError, match="not YAML") as raised:
        read_yaml(tmp_path / "a.yaml")
    assert line in str(raised.value)
