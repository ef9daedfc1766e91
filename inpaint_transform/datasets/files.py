"""Label files: text, JSON, YAML and XML, read so that every failure names the file and the line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.parsers import expat

import yaml  # type: ignore[import-untyped] # ships no types, and one call is not worth a stub package

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """Why one picture, or one entry of a label file, is left out.

    Attributes:
        path: The file at fault.
        line: Line in that file, counted from 1, or None where there is none to name.
        message: What is wrong.
        reason: The same in few words, under which a balance sheet counts it.
    """

    path: Path
    line: int | None
    message: str
    reason: str = "unreadable"

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


class BrokenFileError(ValueError):
    """A file as a whole cannot be used; ``problem`` says which one and why."""

    def __init__(self, path: Path, line: int | None, message: str, reason: str = "unreadable") -> None:
        self.problem = Problem(path, line, message, reason)
        super().__init__(str(self.problem))


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; not one whose name no file system takes, as garbage in lists may be."""
    try:
        return path.exists()
    except OSError:
        return False


def read_bytes(path: Path) -> bytes:
    """The raw content of a file; a pipe or a device, which may have no end, is refused."""
    try:
        if path.exists() and not path.is_file():
            raise BrokenFileError(path, None, "a folder, a pipe or a device, and no file")
        return path.read_bytes()
    except OSError as error:
        raise BrokenFileError(path, None, error.strerror or "cannot be read") from error


def read_text(path: Path) -> str:
    """The content of a UTF-8 file."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenFileError(path, None, "not UTF-8 text") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file in plain Python values."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenFileError(path, error.lineno, f"not JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        raise BrokenFileError(path, None, "not JSON (nested too deeply, or a number too long)") from error


class _Verbatim(yaml.BaseLoader):
    """Scalars stay the text that was written: YAML 1.1 would make ``no`` False and ``1_000`` a thousand."""


def _unique_keys(loader: Any, node: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str) or key in found:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands there twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Verbatim.add_constructor("tag:yaml.org,2002:map", _unique_keys)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: mappings, lists and the text of every scalar as it is written.

    A key that stands there twice is refused: which of the two counts is anybody's guess.
    """
    text = read_text(path)
    try:
        return yaml.load(text, _Verbatim)  # noqa: S506 - it makes nothing but strings, lists and mappings
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise BrokenFileError(path, line, f"not YAML ({error.problem})") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise BrokenFileError(path, None, f"not YAML ({type(error).__name__})") from error


def read_xml(path: Path) -> tuple[ElementTree.Element, dict[ElementTree.Element, int]]:
    """Parse XML and remember the line on which each element starts.

    A DOCTYPE is refused: it is the carrier of entity bombs, and no label file needs one.
    """
    parser = expat.ParserCreate()
    builder = ElementTree.TreeBuilder()
    lines = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    def refuse(*_: object) -> None:
        raise BrokenFileError(path, parser.CurrentLineNumber, "it has a DOCTYPE, which is refused; delete it")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    content = read_bytes(path)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise BrokenFileError(path, error.lineno, f"not XML ({expat.ErrorString(error.code)})") from error
    except BrokenFileError:
        raise
    except (LookupError, ValueError) as error:  # an encoding that Python or expat does not know
        raise BrokenFileError(path, 1, f"not XML ({error})") from error
    return builder.close(), lines
