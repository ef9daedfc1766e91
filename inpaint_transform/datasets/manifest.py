"""The manifest: how far an export has come, in a file that survives any end of the process.

One JSON line with the export's arguments, then one a finished picture. A line is appended by a single write, so at
worst the last one is torn; a torn line does not count, and its picture is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError

if sys.platform != "win32":
    import fcntl

NAME = "export.jsonl"


class Manifest:
    """The records of one export, open for appending. Thread-safe; one process at a time has it.

    Args:
        folder: The folder that is exported to; made if need be.
        arguments: JSON values by name: everything that the files depend on.

    Attributes:
        records: What is finished, by key.

    Raises:
        ValueError: The folder holds other things, or an export with other arguments.
        InpaintError: Another process is exporting there, or the file cannot be written.
    """

    def __init__(self, folder: Path, arguments: Mapping[str, Any]) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._descriptor = -1
        check(folder, arguments)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._claim()
            check(folder, arguments)  # again: until now another process may have begun
            self._read()
        except BaseException:
            self.close()
            raise
        if not self._begun:
            self._write({"arguments": dict(arguments)})

    def _claim(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InpaintError(f"another process is exporting to {self._path.parent}; wait for its end") from error

    def _read(self) -> None:
        whole, lines = _whole_lines(self._path)
        os.ftruncate(self._descriptor, whole)
        self._begun = bool(lines)
        for line in lines[1:]:
            self.records[line["key"]] = line

    def add(self, key: str, record: Mapping[str, Any]) -> None:
        """Note that a picture is finished.

        Raises:
            InpaintError: The disk is full.
        """
        line = {"key": key, **record}
        self._write(line)
        self.records[key] = line

    def _write(self, line: Mapping[str, Any]) -> None:
        content = json.dumps(line).encode() + b"\n"
        with self._lock:
            before = os.fstat(self._descriptor).st_size
            try:
                while content:  # a full disk takes a part of it, and names the reason when asked to take the rest
                    content = content[os.write(self._descriptor, content) :]
            except OSError as error:
                os.ftruncate(self._descriptor, before)  # another thread's line may follow, and is to be a whole one
                raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(folder: Path, arguments: Mapping[str, Any]) -> None:
    """Refuse a folder that this export can neither begin in nor go on in; nothing is written.

    Raises:
        ValueError: It holds other things, or an export with other arguments.
    """
    path = folder / NAME
    lines = _whole_lines(path)[1] if path.exists() else []
    if lines:
        begun, wanted = lines[0].get("arguments"), json.loads(json.dumps(arguments))
        if not isinstance(begun, dict):
            raise ValueError(f"{path}: not the beginning of an export; export to another folder")
        for name in sorted({*begun, *wanted}):
            if begun.get(name) != wanted.get(name):
                raise ValueError(
                    f"{folder} holds an export that was begun with {name}={begun.get(name)!r}, and now it is "
                    f"{wanted.get(name)!r}; give the same arguments to go on, or another folder"
                )
    elif folder.is_dir() and any(entry.name != NAME for entry in folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no export; export to a new folder")
    elif folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")


def _whole_lines(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """The length of the file without a torn last line, and its lines."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    try:
        return whole, [json.loads(line) for line in content[:whole].splitlines()]
    except ValueError as error:
        raise ValueError(f"{path}: not the manifest of an export ({error}); export to another folder") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either there as a whole or not at all, whenever the process ends.

    Raises:
        InpaintError: It cannot be written; the message says how to go on.
    """
    # No loader takes this suffix for a picture or a label, and the next run writes over what a killed one left.
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InpaintError:
    """The error that ends an export whose folder cannot be written to."""
    return InpaintError(
        f"{path}: {error.strerror or error}; what is exported so far is whole: make room, and the same command goes on"
    )
