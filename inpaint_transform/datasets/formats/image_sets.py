"""Lists of the pictures of each split, as Pascal VOC has them under ``ImageSets``: an id or a path a line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inpaint_transform.datasets.files import BrokenFileError, read_json, read_text
from inpaint_transform.datasets.formats.base import Part
from inpaint_transform.datasets.images import is_hidden, is_picture
from inpaint_transform.datasets.splits import SPLITS, TEST, TRAIN, VAL, looks_held_out, split_of_list

# A list for training and validation.
_BOTH = "trainval"
_TRAINVAL = re.compile(r"train[-_]?val\d*", re.IGNORECASE)
# The second column of a list about a single class: absent, present, difficult.
_FLAGS = ("-1", "1", "0")


def with_declared_splits(part: Part, root: Path) -> Part:
    """A part with the splits that lists in a data set's folder declare for its pictures, if there are any.

    ``ImageSets/Main``, ``ImageSets`` or another folder in it; else lists that lie in the folder itself and name
    pictures of it, as text files or as ``split.json``. Lists about a single class count where there are no others.

    Args:
        part: Pictures and labels.
        root: The data set's folder.

    Raises:
        ValueError: A picture is in two splits, or in ``trainval`` alone where that is split further; or a list looks
            held out and its name says no split.
    """
    if not part.images.is_dir():
        return part
    sets = root / "ImageSets"
    inside = sorted(place for place in sets.glob("*") if place.is_dir() and place.name != "Main")
    names = {key: picture for picture in part.pictures for key in _keys(part.images, picture)}
    for folder in (sets / "Main", sets, *inside, root):
        listed = _listed(folder, part.images, names, loose=folder == root)
        if listed:
            return _with_splits(part, folder, listed, names)
    for file in (root / "split.json", root / "splits.json"):
        listed = _listed_in_json(file, part.images, names)
        if listed:
            return _with_splits(part, file, listed, names)
    return part


def _with_splits(part: Part, place: Path, listed: dict[str, set[str]], names: Mapping[str, Path]) -> Part:
    splits = _paths(part.images, _split_of(place, listed), names)
    others = tuple(picture for picture in part.pictures if picture not in splits)
    return replace(part, pictures=tuple(sorted(splits)), declared=splits, declared_by=place, unplaced=others)


def _keys(images: Path, picture: Path) -> tuple[str, str]:
    below = picture.relative_to(images)
    return below.with_suffix("").as_posix(), below.as_posix()


def _listed(folder: Path, images: Path, names: Mapping[str, Path], loose: bool) -> dict[str, set[str]]:
    """The ids of each split, and those of ``trainval``.

    Args:
        folder: Where the lists lie.
        images: The folder of the pictures.
        names: What pictures may be called.
        loose: Whether other text files may lie there too, so that a list is what names pictures.
    """
    whole: dict[str, set[str]] = defaultdict(set)
    of_classes: dict[str, set[str]] = defaultdict(set)
    for file in sorted(folder.glob("*.txt")):
        stem, last = file.stem, re.split(r"[-_]", file.stem)[-1]
        split, split_of_class = _split_named(stem), _split_named(last)
        if is_hidden(file.name) or not (split or split_of_class or looks_held_out(stem)):
            continue
        try:
            ids = _ids(file, images, names)
        except BrokenFileError:
            if loose:
                continue
            raise
        known = not ids.isdisjoint(names)
        if loose and not known:
            continue
        if split:
            whole[split] |= ids
        elif split_of_class:
            of_classes[split_of_class] |= ids
        elif known:
            raise BrokenFileError(file, None, "it looks like a list of held-out pictures; name it val.txt or test.txt")
    return dict(whole or of_classes)


def _listed_in_json(file: Path, images: Path, names: Mapping[str, Path]) -> dict[str, set[str]]:
    """The ids of each split in a JSON object of lists; empty where it is something else, or names no picture."""
    try:
        document = read_json(file) if file.is_file() else None
    except BrokenFileError:
        return {}
    listed: dict[str, set[str]] = defaultdict(set)
    for key, entries in document.items() if isinstance(document, dict) else ():
        split = _split_named(key)
        if split and isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
            listed[split] |= {_below(entry, images) for entry in entries}
    return dict(listed) if any(name in names for ids in listed.values() for name in ids) else {}


def _split_named(stem: str) -> str | None:
    return _BOTH if _TRAINVAL.fullmatch(stem) else split_of_list(stem)


def _ids(file: Path, images: Path, names: Mapping[str, Path]) -> set[str]:
    """The pictures of a list; a second column is the flag of a class, or the picture's label file."""
    found = set()
    for line in read_text(file).split("\n"):
        text = _below(line.strip(), images)
        columns = text.split()
        if len(columns) == 2 and text not in names:
            first, second = columns
            if second in _FLAGS or (is_picture(Path(first)) and second.endswith((".xml", ".txt"))):
                text = first
        if text:
            found.add(text)
    return found


def _below(entry: str, images: Path) -> str:
    """A path as it is below the folder of the pictures."""
    entry = entry.replace("\\", "/").removeprefix("./")
    before, folder, after = entry.rpartition(f"{images.name}/")
    return after if folder and (not before or before.endswith("/")) else entry


def _split_of(folder: Path, listed: dict[str, set[str]]) -> dict[str, str]:
    ids = {split: listed.get(split, set()) for split in SPLITS}
    both = listed.get(_BOTH, set())
    if not ids[TRAIN] and not ids[VAL]:
        ids[TRAIN] = both - ids[TEST]
    elif loose := sorted(both - ids[TRAIN] - ids[VAL] - ids[TEST]):
        raise BrokenFileError(folder / "trainval.txt", None, f"{loose[0]} is neither in train.txt nor in val.txt")
    if ids[VAL] == ids[TRAIN]:
        ids[VAL] = set()  # so says who has no such pictures yet
    found: dict[str, str] = {}
    for split, names in ids.items():
        for name in sorted(names):
            if found.setdefault(name, split) != split:
                raise BrokenFileError(folder / f"{split}.txt", None, f"{name} is in {found[name]}.txt too")
    return found


def _paths(images: Path, splits: Mapping[str, str], names: Mapping[str, Path]) -> dict[Path, str]:
    """The same by picture; one that is not there is called as VOC's loaders would look for it."""
    found: dict[Path, str] = {}
    for name, split in splits.items():
        picture = names.get(name, images / (name if is_picture(Path(name)) else f"{name}.jpg"))
        if found.setdefault(picture, split) != split:
            raise BrokenFileError(picture, None, f"it is listed in {found[picture]} and in {split}")
    return found
