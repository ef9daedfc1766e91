"""The manifest: how far an export has come, in a file that survives any end of the process or the machine.

One JSON line with the export's arguments, then one for each picture that is there: for an original what tells it and
its labels from any other, for a copy what was painted. A line is appended once the files that it speaks of are on the
disk; where it is torn, its picture is made again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.datasets.files import BrokenFileError
from inpaint_transform.datasets.formats.base import Part
from inpaint_transform.datasets.json_lines import JsonLines, read_lines

NAME = "export.jsonl"
# Errors that are about the name of one file, and no reason to stop writing others.
_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP)
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


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
        self._lines: JsonLines | None = None
        check(folder, arguments)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = JsonLines(self._path, f"another process is exporting to {folder}; wait for its end")
            check(folder, arguments)  # again: until now another process may have begun
            begun = self._lines.read()
        except BaseException:
            self.close()
            raise
        self.records.update((line["key"], line) for line in begun[1:])
        if not begun:
            self._write({"arguments": dict(arguments)})

    def add(self, records: Mapping[str, Mapping[str, Any]], files: Iterable[Path] = ()) -> None:
        """Note what is finished, by key.

        Args:
            records: JSON values by key.
            files: The files that the records speak of; they and their folders' entries reach the disk first.

        Raises:
            InpaintError: The disk is full.
        """
        _sync(files)
        lines = {key: {"key": key, **record} for key, record in records.items()}
        self._write(*lines.values())
        self.records.update(lines)

    def _write(self, *lines: Mapping[str, Any]) -> None:
        if self._lines is None:
            raise ValueError(f"{self._path} is closed")
        try:
            self._lines.append(*lines)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._lines is not None:
            self._lines.close()

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
    lines = []
    if path.exists():
        try:
            lines = read_lines(path)
        except ValueError as error:
            raise ValueError(f"{error}, so not the manifest of an export; export to another folder") from error
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


def check_apart(target: Path, source: Path, parts: Iterable[Part]) -> None:
    """Refuse to write where pictures or labels are read: the next run would take what this one wrote for its source.

    Raises:
        ValueError: The target lies in the source, or the other way round.
    """
    wanted = target.resolve()
    places = [path.resolve() for part in parts for path in (part.images, part.boxes)]
    for place in (source.resolve(), *places):
        if wanted == place or wanted in place.parents or place in wanted.parents:
            raise ValueError(f"{target} overlaps with {place}, which is read; export to a folder outside of it")


def _sync(files: Iterable[Path]) -> None:
    """Wait until files and their names are on the disk, as far as the system can say."""
    files = list(files)
    folders = {path.parent for path in files} if sys.platform != "win32" else set()
    for path in (*files, *sorted(folders)):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems cannot, and say so
                raise unwritable(path, error) from error
        finally:
            os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either there as a whole or not at all, whenever the process ends.

    Raises:
        BrokenFileError: No file of this name can be written; others can.
        InpaintError: It cannot be written; the message says how to go on.
    """
    with _part_of(path) as part:
        part.write_bytes(content)
        part.replace(path)


def link_whole(path: Path, source: Path) -> bool:
    """Hard-link a file; False where that is impossible, as between two disks.

    Raises:
        BrokenFileError: No file of this name can be written; others can.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.samefile(source):
            return True
        path.unlink(missing_ok=True)
        os.link(source.resolve(), path)
    except OSError as error:
        if error.errno in _OF_ONE_NAME:
            raise BrokenFileError(path, None, error.strerror or "cannot be written", "of an unusable name") from error
        return False
    return True


@contextlib.contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    # No loader takes this suffix for a picture or a label, and the next run writes over what a killed one left.
    part = path.with_name(f".{hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        if error.errno in _OF_ONE_NAME:
            raise BrokenFileError(path, None, error.strerror or "cannot be written", "of an unusable name") from error
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InpaintError:
    """The error that ends an export whose folder cannot be written to."""
    mend = "make room" if error.errno in _FULL else "mend that"
    return InpaintError(
        f"{path}: {error.strerror or error}; what is exported so far is whole: {mend}, and the same command goes on"
    )
