"""Files of one JSON object a line, appended to by one process at a time, that survive any end of it or of the machine.

A line is written by a single call, so at worst the last one is torn; a torn line does not count.
"""

from __future__ import annotations

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


class JsonLines:
    """Such a file, open for appending. Thread-safe.

    Args:
        path: The file; made if need be, in a folder that is there.
        busy: What to say where another process has it.

    Raises:
        InpaintError: Another process has it.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, busy: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise InpaintError(busy) from error

    def read(self) -> list[dict[str, Any]]:
        """The whole lines; a torn one is cut off.

        Raises:
            ValueError: A line is no JSON object; the file stays as it is.
        """
        lines, whole = _read(self._path)
        os.ftruncate(self._descriptor, whole)
        return lines

    def append(self, *lines: Mapping[str, Any], sync: bool = False) -> None:
        """Append lines, all or none of them.

        Args:
            lines: JSON objects.
            sync: Whether to return only once they are on the disk.

        Raises:
            OSError: They cannot be written; the file is as it was.
        """
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        with self._lock:
            before = os.fstat(self._descriptor).st_size
            try:
                while content:  # a full disk takes a part of it, and names the reason when asked to take the rest
                    content = content[os.write(self._descriptor, content) :]
                if sync:
                    os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, before)  # another thread's line may follow, and is to be a whole one
                raise

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file.

    Raises:
        ValueError: One is no JSON object.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and their length in bytes."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ValueError(f"{path}:{number}: not a JSON object")
        lines.append(value)
    return lines, whole
