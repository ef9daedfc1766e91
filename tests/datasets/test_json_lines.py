"""Files of JSON lines: whole lines only, one writer, all or nothing."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.datasets.json_lines import JsonLines, read_lines


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = JsonLines(path, "busy")
    rows.append({"a": 1}, {"b": "ä\n"})
    rows.append({"c": None}, sync=True)
    rows.close()
    rows.close()
    assert read_lines(path) == JsonLines(path, "busy").read() == [{"a": 1}, {"b": "ä\n"}, {"c": None}]


@given(st.integers(0, 60))
def test_a_torn_line_does_not_count(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    lines = [{"number": number, "text": "x" * number} for number in range(3)]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    path.write_bytes(content[: min(at, len(content))])
    whole = path.read_bytes().count(b"\n")
    rows = JsonLines(path, "busy")
    assert rows.read() == lines[:whole]
    rows.append({"new": True})
    rows.close()
    assert read_lines(path) == [*lines[:whole], {"new": True}]


@pytest.mark.skipif(os.name == "nt", reason="without such locks")
def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first = JsonLines(path, "busy")
    with pytest.raises(InpaintError, match="somebody has it"):
        JsonLines(path, "somebody has it")
    first.close()
    JsonLines(path, "busy").close()


@pytest.mark.parametrize("content", [b"no JSON\n", b"[1]\n", b'{"a": 1}\n7\n', b"\xff\n"])
def test_a_foreign_file_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    rows = JsonLines(path, "busy")
    with pytest.raises(ValueError, match=r"rows\.jsonl:\d"):
        rows.read()
    assert path.read_bytes() == content


def test_lines_of_many_threads_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = JsonLines(path, "busy")

    def write(number: int) -> None:
        for turn in range(50):
            rows.append({"of": number, "turn": turn}, {"long": "x" * 1000})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_lines(path)
    assert len(found) == 400
    # All lines of one call lie together.
    assert all("of" in line and "long" in after for line, after in zip(found[::2], found[1::2], strict=True))


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    rows = JsonLines(path, "busy")
    rows.append({"a": 1})
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[:20])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        rows.append({"a long line": "of more than twenty bytes"})
    monkeypatch.undo()
    rows.append({"b": 2})
    assert read_lines(path) == [{"a": 1}, {"b": 2}]
