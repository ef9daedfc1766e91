"""What a COCO file says, found by value: which entry is a picture's, and which boxes are an entry's.

Nothing is guessed. An entry is a picture's if their paths are equal, or if the longest tail that their paths share is
shared by no other picture and no other entry.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as shorten
from typing import Any

from inpaint_transform.datasets.files import BrokenFileError, read_json

Row = Mapping[str, Any]


class NotCocoError(BrokenFileError):
    """A JSON file is something else."""


class CocoIndex:
    """A COCO file, read and sorted.

    Attributes:
        file: Where it was read from.
        images: The entries of pictures, none twice.
        repeated: How many entries were the same as another in every field.
        strays: Annotations of images that the file does not list.

    Raises:
        BrokenFileError: It cannot be read, or is no COCO file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        sections = _sections(file)
        once = {json.dumps(row, sort_keys=True): row for row in sections["images"]}
        self.images: list[Row] = list(once.values())
        self.repeated = len(sections["images"]) - len(self.images)
        self._ids = Counter(key_of(row.get("id")) for row in self.images)
        self._names = Counter(name_of(row) for row in self.images)
        self._boxes: dict[Hashable, list[Row]] = defaultdict(list)
        for row in sections["annotations"]:
            self._boxes[key_of(row.get("image_id"))].append(row)
        self.strays = [row for key, rows in self._boxes.items() if key not in self._ids for row in rows]
        self._classes: dict[Hashable, set[str]] = defaultdict(set)
        self._categories = sections["categories"]
        for row in sections["categories"]:
            name = row.get("name")
            if isinstance(name, str) and name.strip():
                self._classes[key_of(row.get("id"))].add(name.strip())

    def boxes_of(self, entry: Row) -> list[Row]:
        """The annotations of an entry."""
        return self._boxes.get(key_of(entry.get("id")), [])

    def doubt_about(self, entry: Row) -> str | None:
        """Why nobody can know which boxes are an entry's, or None."""
        if entry.get("id") is None:
            return "its entry has no id"
        if self._ids[key_of(entry.get("id"))] > 1:
            return f"image id {shorten(entry.get('id'))} is that of another entry too"
        if self._names[name_of(entry)] > 1:
            return "it has two entries"
        return None

    def class_name(self, category: object) -> str:
        """The name of a category id.

        Raises:
            ValueError: It has none, or several.
        """
        names = self._classes.get(key_of(category), set())
        if len(names) > 1:
            raise ValueError(f"category id {shorten(category)} is {' and '.join(map(repr, sorted(names)))}")
        if not names:
            raise ValueError(f"category id {shorten(category)} has no name among the categories")
        return next(iter(names))

    def classes(self) -> dict[int, str]:
        """Class id to name, of the ids that are whole numbers and mean one class."""
        keys = [key_of(row.get("id")) for row in self._categories]
        return {
            key: next(iter(self._classes[key])) for key in keys if isinstance(key, int) and len(self._classes[key]) == 1
        }


def _sections(file: Path) -> dict[str, list[dict[str, Any]]]:
    document = read_json(file)
    sections = {}
    for section in ("images", "annotations", "categories"):
        rows = document.get(section) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NotCocoError(file, None, f"not a COCO file: it has no list of objects {section!r}")
        sections[section] = rows
    return sections


def key_of(value: object) -> Hashable:
    """An id by its value: JSON knows one kind of number, so that 1, 1.0 and "1" are the same id; "01" is another."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and str(int(value[:300])) == value:
        return int(value)
    return value if isinstance(value, int | float | str) else shorten(value)


def name_of(entry: Row) -> str:
    """The path that an entry gives its picture, with forward slashes."""
    name = entry.get("file_name")
    return name.replace("\\", "/").removeprefix("./").lstrip("/") if isinstance(name, str) else ""


def match(pictures: Sequence[Path], root: Path, names: Iterable[str]) -> tuple[dict[Path, str], dict[Path, str]]:
    """Which name means which picture.

    Args:
        pictures: Picture files.
        root: The folder that they were found in, or the one picture.
        names: Paths as a COCO file gives them, each once.

    Returns:
        The names of the pictures that have one, and for those that could be meant by several names, or whose name could
        mean several pictures, what stands in the way.
    """
    # A Mac writes an accent as a character of its own, and other systems do not.
    paths = {picture: tuple(map(_composed, (*root.absolute().parts, *_below(picture, root)))) for picture in pictures}
    wanted = {name: tuple(_composed(part) for part in name.split("/") if part) for name in names if name}
    found = {picture: name for picture in pictures if (name := "/".join(_below(picture, root))) in wanted}
    free = set(wanted) - set(found.values())
    doubts: dict[Path, str] = {}
    for length in range(max(map(len, wanted.values()), default=0), 0, -1):
        # Counted among all, the matched ones too: a tail that two share names neither.
        by_picture, by_name = defaultdict(list), defaultdict(list)
        for picture, path in paths.items():
            by_picture[path[-length:]].append(picture)
        for name, parts in wanted.items():
            if len(parts) >= length:
                by_name[parts[-length:]].append(name)
        for tail, named in by_name.items():
            meant = by_picture.get(tail, [])
            if len(meant) == len(named) == 1:
                [picture], [name] = meant, named
                if picture not in found and name in free and picture not in doubts:
                    found[picture] = name
                    free.discard(name)
                continue
            if any(name in free for name in named):
                for picture in meant:
                    if picture not in found:
                        doubts.setdefault(picture, f"{'/'.join(tail)} could be it and another")
    return found, {picture: doubt for picture, doubt in doubts.items() if picture not in found}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _below(picture: Path, root: Path) -> tuple[str, ...]:
    return picture.relative_to(root).parts if picture != root and picture.is_relative_to(root) else (picture.name,)
