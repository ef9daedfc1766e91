"""The results file: one JSON value a line, each appended as its run ends, in a file that survives any end.

A line is written by a single call and reaches the disk before the next run begins, so at worst the last one is torn; a
torn line does not count, and its run is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError

if sys.platform != "win32":
    import fcntl

NAME = "results.jsonl"
DONE, FAILED = "done", "failed"


class Rows:
    """The results of a study, open for appending; one process at a time has them.

    Args:
        folder: The study's folder; made if need be.

    Attributes:
        header: What the study was when it was last started.
        runs: The last row of each run, by digest.

    Raises:
        ValueError: The file is no results file.
        InpaintError: Another process has it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._claim()
            whole = _whole(self.path)
            self.header, self.runs = read(self.path)
            os.ftruncate(self._descriptor, whole)
        except BaseException:
            self.close()
            raise

    def _claim(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InpaintError(f"another process is at the study in {self.path.parent}; wait for its end") from error

    def begin(self, header: Mapping[str, Any]) -> None:
        """Note what the study is now, if that has changed."""
        plain = json.loads(json.dumps(header))
        if plain != self.header:
            self._write({"study": plain})
            self.header = plain

    def add(self, row: Mapping[str, Any]) -> None:
        """Note the end of a run."""
        self._write(row)
        self.runs[row["run"]] = dict(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        content = json.dumps(row).encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        try:
            while content:  # a full disk takes a part of it, and names the reason when asked to take the rest
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise InpaintError(
                f"{self.path}: {error.strerror or error}; what is there is whole; mend that, and the study goes on"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read a results file: its last header, and the last row of each run by digest; a torn line does not count.

    Raises:
        ValueError: It holds something else.
    """
    header: dict[str, Any] = {}
    runs: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_bytes()[: _whole(path)].splitlines(), start=1):
        row = _row(line)
        if "study" in row:
            header = row["study"]
        elif "run" in row:
            runs[row["run"]] = row
        else:
            raise ValueError(f"{path}:{number}: not the results of a study; name another folder as out")
    return header, runs


def _row(line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        row = json.loads(line)
        if isinstance(row, dict):
            return row
    return {}


def _whole(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1
