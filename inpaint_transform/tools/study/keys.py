"""Keys and values of a configuration, read so that one message names the key, its value and the mend."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from inpaint_transform.core.nearest import nearest
from inpaint_transform.datasets.files import exists

# What says "nothing" in YAML, whose scalars are read as they are written.
_NOTHING = ("", "null", "~")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class ConfigError(ValueError):
    """A key of a configuration cannot be used; the message names it, its value and the mend."""


class UnfitError(ValueError):
    """What to do about a value; who asked for it adds where it stands."""


class Keys:
    """The keys of a mapping, each taken once; those that are left are unknown.

    Args:
        where: What the configuration is called in messages.
        document: The mapping.
        folder: Where relative paths start.
        prefix: What stands before its keys in messages, ``"data."``.
    """

    def __init__(self, where: str, document: Any, folder: Path, prefix: str = "") -> None:
        self.where, self.folder, self.prefix = where, folder, prefix
        if not isinstance(document, Mapping):
            raise ConfigError(f"{where}: {prefix.rstrip('.')}={document!r}: give keys and values below it")
        self._left = {str(key): value for key, value in document.items()}
        self._known: list[str] = []

    def section(self, key: str, reader: Callable[[Keys], Any]) -> Callable[[Any], Any]:
        """A reader of the keys below a key."""
        return lambda value: reader(self.below(key, value))

    def error(self, key: str, value: Any, mend: str) -> ConfigError:
        """What to raise where values do not go together."""
        return ConfigError(f"{self.where}: {self.prefix}{key}={value!r}: {mend}")

    def get(self, key: str, reader: Callable[[Any], Any], default: Any = None) -> Any:
        """A value, or the default where the key is not there or says nothing.

        Args:
            key: The key.
            reader: Makes of what stands there what it means, and raises ``UnfitError``.
            default: What it is otherwise.

        Raises:
            ConfigError: The value is unusable.
        """
        self._known.append(key)
        value = self._left.pop(key, None)
        if says_nothing(value):
            return default
        try:
            return reader(value)
        except UnfitError as error:
            raise self.error(key, value, str(error)) from None

    def required(self, key: str, reader: Callable[[Any], Any]) -> Any:
        """A value that must be there."""
        found = self.get(key, reader)
        if found is None:
            hint = "; is that {!r}?".format(*near) if (near := difflib.get_close_matches(key, self._left, n=1)) else ""
            raise ConfigError(f"{self.where}: {self.prefix}{key} is missing; the README of the study tells of it{hint}")
        return found

    def below(self, key: str, value: Any) -> Keys:
        """The keys below a key."""
        return Keys(self.where, value, self.folder, f"{self.prefix}{key}.")

    def items(self) -> dict[str, Any]:
        """All that is left, for a section whose keys are names."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        """Refuse keys that nobody has asked for."""
        for key in self._left:
            hint = nearest(key, self._known) or f"; the keys are {', '.join(self._known)}"
            raise ConfigError(f"{self.where}: {self.prefix}{key}: there is no such key{hint}")

    def path(self, value: Any) -> Path:
        """A path that starts at the folder."""
        return (self.folder / Path(text(value)).expanduser()).absolute()

    def file(self, value: Any) -> Path:
        """A file that is there."""
        path = self.path(value)
        if not path.is_file():
            raise UnfitError(f"there is no file {path}")
        return path

    def place(self, value: Any) -> Path:
        """A file or folder that is there."""
        path = self.path(value)
        if not path.exists():
            raise UnfitError(f"there is no file or folder {path}")
        return path

    def text_or_file(self, value: Any) -> str:
        """Text, or the path of the file that it names."""
        path = self.path(value)
        return str(path) if exists(path) else text(value)

    def files(self, value: Any) -> tuple[Path, ...]:
        """Files that are there, or one."""
        return tuple(map(self.file, listed(value)))


def says_nothing(value: Any) -> bool:
    """Whether a value is there in form only."""
    return value is None or (isinstance(value, str) and value.strip() in _NOTHING)


def text(value: Any) -> str:
    """Text; a number is what it looks like."""
    if not isinstance(value, str | int | float | Path) or isinstance(value, bool):
        raise UnfitError("give text")
    return str(value)


def listed(value: Any) -> Sequence[Any]:
    """A list, also of one."""
    return [value] if isinstance(value, str | Path) or not isinstance(value, Sequence) else value


def one_of(known: Sequence[str]) -> Callable[[Any], str]:
    """A reader of a word, or of what an ``Enum`` has for it."""

    def read_one(value: Any) -> str:
        word = value.value if isinstance(value, Enum) else value
        if word not in known:
            raise UnfitError(f"use {' or '.join(known)}")
        return str(word)

    return read_one


def truth(value: Any) -> bool:
    """True or false, in any of YAML's words."""
    word = str(value).lower()
    if word not in (*_TRUE, *_FALSE):
        raise UnfitError("use true or false")
    return word in _TRUE


def whole(value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+", str(value)):
        raise UnfitError("use a whole number")
    return int(value)


def seed(value: Any) -> int:
    """A whole number >= 0."""
    number = whole(value)
    if number < 0:
        raise UnfitError("use a number >= 0")
    return number


def count(value: Any) -> int:
    """A whole number >= 1."""
    number = whole(value)
    if number < 1:
        raise UnfitError("use a count >= 1")
    return number


def factor(value: Any) -> float:
    """A finite number > 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise UnfitError("use a number > 0")
    return number
