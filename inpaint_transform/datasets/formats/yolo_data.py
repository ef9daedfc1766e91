"""What lies with YOLO labels: class names, and the splits that a ``data.yaml`` or darknet's lists declare."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from reprlib import repr as shorten
from typing import Any

from inpaint_transform.datasets.files import BrokenFileError, exists, read_text, read_yaml
from inpaint_transform.datasets.formats.base import Part, as_spelled, number
from inpaint_transform.datasets.images import is_picture, walk
from inpaint_transform.datasets.splits import split_of_list

logger = logging.getLogger(__name__)

_YAML = (".yaml", ".yml")
_LISTS = (".txt", ".list", ".lst")
_OF_NAMES = (".data", ".json", ".list", ".lst", ".names", ".txt")
# Files that hold more than names: taken line by line, they would make classes of the rest.
_OTHER_FILES = (".cfg", ".csv", ".html", ".ini", ".md", ".pbtxt", ".py", ".toml", ".tsv", ".xml")
# "0: cone", "1,cube", "2 ball": an id and a name.
_NUMBERED = re.compile(r"\s*(\d{1,9})\s*[:;,=\s]\s*\S")
# How a split is called in a data.yaml, and in darknet's obj.data.
_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


# Class names


def read_names(source: str) -> dict[int, str]:
    """Read class names.

    Args:
        source: A YAML file with ``names`` (list, or id to name), any other text file with one name a line, or the names
            themselves with commas between.

    Returns:
        Class id to name.

    Raises:
        ValueError: The file is not there, is broken or has no names.
    """
    path = Path(source)
    if exists(path) or (
        "," not in source and (len(path.parts) > 1 or path.suffix.lower() in (*_YAML, *_OF_NAMES, *_OTHER_FILES))
    ):
        listed = _names_in(path)
    else:
        listed = dict(enumerate(source.split(",")))
    names = {index: name.strip() for index, name in listed.items() if name.strip()}
    if not names:
        raise ValueError(f"names={source!r}: there are no class names in it")
    return names


def _names_in(path: Path) -> dict[int, str]:
    if path.suffix.lower() in (*_YAML, ".json"):
        return _yaml_names(path, read_yaml(path))
    if path.suffix.lower() in _OTHER_FILES:
        raise BrokenFileError(path, None, f"names in {path.suffix} files are not read; write one name a line")
    lines = read_text(path).split("\n")
    if bad := next((line for line in lines if not line.strip().isprintable()), None):
        raise BrokenFileError(path, lines.index(bad) + 1, f"{shorten(bad)} is no class name")
    numbered = [_NUMBERED.match(line) for line in lines if line.strip()]
    numbers = [int(found[1]) for found in numbered if found]
    if len(numbered) > 1 and numbers in ([*range(len(numbered))], [*range(1, len(numbered) + 1)]):
        raise BrokenFileError(path, 1, "it has a number and a name a line; write the names alone, in the order of ids")
    return dict(enumerate(lines))


def _yaml_names(path: Path, document: Any) -> dict[int, str]:
    names = document.get("names") if isinstance(document, dict) else None
    if names is None and path.suffix.lower() == ".json":  # the names alone
        names = document
    if isinstance(names, str) and names:
        raise BrokenFileError(path, None, f"names: {shorten(names)} is no list; give [a, b] or {{0: a, 1: b}}")
    if isinstance(names, list):
        names = {str(index): name for index, name in enumerate(names)}
    if not isinstance(names, dict):
        raise BrokenFileError(path, None, "it has no list 'names'")
    for index, name in names.items():
        if not re.fullmatch(r"0|[1-9]\d*", index) or not isinstance(name, str):
            raise BrokenFileError(
                path, None, f"names: {shorten(index)}: {shorten(name)} is not a class id and its name"
            )
    return {int(index): name for index, name in names.items()}


def find_names(boxes: Path) -> dict[int, str]:
    """Find the class names beside YOLO labels, or up to two folders above: ``data.yaml``, ``classes.txt``, ``*.names``.

    Raises:
        ValueError: There is none, or it has no names.
    """
    for place in _around(boxes):
        if (data := _data_file(place)) is not None and data.suffix in _YAML:
            return read_names(str(data))
        for file in (place / "classes.txt", *sorted(place.glob("*.names")), *sorted((place / "data").glob("*.names"))):
            if file.is_file():
                return read_names(str(file))
    raise ValueError(
        f"{boxes}: YOLO labels hold class ids only; give names (--names) as a data.yaml, a classes.txt or a,b,c"
    )


def _around(boxes: Path) -> tuple[Path, ...]:
    if boxes.suffix in _YAML and boxes.is_file():
        boxes = boxes.parent
    folder = (boxes if boxes.is_dir() else boxes.parent).resolve()
    return (folder, *list(folder.parents)[:2])


# Splits


def _data_file(folder: Path) -> Path | None:
    """The file of a folder that describes a data set.

    Raises:
        ValueError: There are several, and none has the usual name.
    """
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (folder / name).is_file():
            return folder / name
    others = [path for suffix in _YAML for path in sorted(folder.glob(f"*{suffix}")) if _describes(path)]
    if len(others) > 1:
        raise ValueError(
            f"{folder} has {others[0].name} and {others[1].name}: name one of them data.yaml, or delete one"
        )
    lists = [*sorted(folder.glob("*.data")), *sorted((folder / "data").glob("*.data"))]
    return next(iter([*others, *(path for path in lists if _describes(path))]), None)


def _describes(path: Path) -> bool:
    try:
        return "names" in _document(path)
    except ValueError:
        return False


def _document(path: Path) -> dict[str, Any]:
    """A data.yaml, or darknet's ``key = value`` lines, as a mapping."""
    if path.suffix in _YAML:
        found = read_yaml(path)
        return found if isinstance(found, dict) else {}
    pairs = (line.partition("=") for line in read_text(path).split("\n"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def keypoints(boxes: Path) -> int:
    """How many numbers of keypoints stand behind each box, by the ``kpt_shape`` of the ``data.yaml``."""
    for place in _around(boxes):
        if (data := _data_file(place)) is not None:
            shape = _document(data).get("kpt_shape")
            if isinstance(shape, list) and len(shape) == 2 and all(str(side).isdecimal() for side in shape):
                return int(shape[0]) * int(shape[1])
            return 0
    return 0


class _NowhereError(BrokenFileError):
    """The places that a data.yaml names are not there, as after a data set was laid out anew."""


def declaration(source: Path) -> Part | None:
    """All pictures that a data set declares with their splits; None where it declares none.

    Args:
        source: The data set's folder, or its ``data.yaml``.

    Raises:
        ValueError: A split is not to be found, or two splits share pictures.
    """
    data = source if source.is_file() else _data_file(source)
    entries = _entries(data) if data is not None else {}
    if not entries and source.is_dir():  # darknet's lists
        for path in sorted(source.glob("*.txt")):
            split = split_of_list(path.stem)
            if split is not None and _lists_pictures(path):
                entries.setdefault(split, []).append(path.name)
        data = source / min(entries.items())[1][0] if entries else None
    if data is None or not entries:
        return None
    try:
        splits = _splits(data, entries)
    except _NowhereError:
        return None  # see ``doubt``
    folder = data.parent
    others = tuple(sorted(_beside(folder, splits)))
    return Part(folder, folder, tuple(sorted(splits)), "", splits, data, unplaced=others, keypoints=keypoints(folder))


def doubt(source: Path) -> str:
    """Why the splits that a data set declares cannot be known, or empty."""
    data = _data_file(source)
    entries = _entries(data) if data is not None else {}
    try:
        if data is not None and entries:
            _splits(data, entries)
    except _NowhereError as error:
        return str(error)
    return ""


def with_declared_splits(part: Part) -> Part:
    """A part with the splits that the ``data.yaml`` with its labels declares for its pictures, if there is one."""
    for place in _around(part.boxes):
        data = _data_file(place)
        if data is None:
            continue
        entries = _entries(data)
        try:
            known = {_key(path): split for path, split in _splits(data, entries).items()} if entries else {}
        except _NowhereError as error:
            return replace(part, in_doubt=str(error))
        declared = {path: known[_key(path)] for path in part.pictures if _key(path) in known}
        if declared:
            others = tuple(path for path in part.pictures if path not in declared)
            return replace(part, pictures=tuple(declared), declared=declared, declared_by=data, unplaced=others)
        return part
    return part


def _lists_pictures(file: Path) -> bool:
    try:
        return is_picture(Path(next(filter(None, map(str.strip, read_text(file).split("\n"))), "")))
    except BrokenFileError:
        return False


def _key(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _beside(root: Path, declared: Iterable[Path]) -> set[Path]:
    """Pictures beside the declared ones that are in no split."""
    folders = {picture.parent for picture in declared}
    folders |= {path.parent for path in walk(root / "images")} if (root / "images").is_dir() else set()
    known = set(map(_key, declared))
    beside = {path for folder in folders if exists(folder) for path in folder.iterdir() if is_picture(path)}
    return {path for path in beside if _key(path) not in known}


def _entries(data: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in _document(data).items():
        listed = [value] if isinstance(value, str) else value
        if key not in _KEYS or not listed or listed == [""]:
            continue
        if not isinstance(listed, list) or not all(isinstance(entry, str) and entry for entry in listed):
            raise BrokenFileError(data, None, f"{key}: {shorten(value)} is no folder, no list file and no list of them")
        found.setdefault(_KEYS[key], []).extend(listed)
    return found


def _splits(data: Path, entries: dict[str, list[str]]) -> dict[Path, str]:
    root = _root(data)
    found: dict[Path, str] = {}
    missing = []
    for split, listed in entries.items():
        if split != "train" and listed == entries.get("train"):
            continue  # so says who has no such pictures yet: the file must name some
        for entry in listed:
            place = _resolve(entry, root)
            if place is None:
                missing.append(f"{split}: {entry}")
                continue
            for picture in _pictures(place, root):
                if found.setdefault(picture, split) != split:
                    raise BrokenFileError(data, None, f"{picture} is in {found[picture]} and in {split}")
    if not found or any(entry.startswith("train:") for entry in missing):
        raise _NowhereError(data, None, f"{'; '.join(missing)}: there is no such place with pictures")
    if missing:
        logger.warning("%s: there is no such place with pictures: %s", data, "; ".join(missing))
    return found


def _root(data: Path) -> Path:
    """The folder that a data file's paths start from."""
    document = _document(data)
    path = document.get("path")
    folder = data.parent / path if isinstance(path, str) and path else data.parent
    return folder if exists(folder) and folder.is_dir() else data.parent


def _resolve(entry: str, *roots: Path) -> Path | None:
    """The place that an entry names, also when the data set has moved since: then its longest tail that is there.

    A tail must still tell places apart: ``images`` alone could be any split's, and a bare file name any folder's.
    """
    entry = entry.replace("\\", "/")
    parts = [part for part in PurePosixPath(entry).parts if part not in ("/", "..", ".")]
    tails = [parts[at:] for at in range(len(parts))]
    tails = [tail for tail in tails if len(tail) > 1 or not (tail == ["images"] or is_picture(Path(tail[0])))]
    for way in (entry, *map("/".join, tails)):
        for root in roots:
            if exists(root / way):
                return root / way
    return None


def _pictures(place: Path, root: Path) -> Iterator[Path]:
    if place.is_dir():
        for path in walk(place):
            if is_picture(path):
                yield _normal(path)
        return
    if place.suffix.lower() not in _LISTS:
        yield _normal(place)
        return
    for line in read_text(place).split("\n"):
        if entry := line.strip():
            found = (
                _resolve(entry, place.parent, root) if entry.startswith("./") else _resolve(entry, root, place.parent)
            )
            yield _normal(found if found is not None else root / entry)


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def is_label_file(path: Path) -> bool:
    """Whether a text file holds boxes, and is no list of names or pictures and no note."""
    try:
        columns = next((line.split() for line in read_text(path).split("\n") if line.strip()), [])
        return len([number(column) for column in columns]) >= 5
    except ValueError:
        return False


def label_file(picture: Path) -> Path:
    """A picture's label file by the trainers' rule: the last folder ``images`` becomes ``labels``; else beside it."""
    folders = list(picture.parent.parts)
    if "images" in folders:
        at = len(folders) - 1 - folders[::-1].index("images")
        found = as_spelled(Path(*folders[:at], "labels", *folders[at + 1 :], picture.name), ".txt")
        if exists(found) or not exists(picture.with_suffix(".txt")):
            return found
    return as_spelled(picture, ".txt")
