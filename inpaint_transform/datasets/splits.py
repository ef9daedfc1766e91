"""Splits: what a picture is for, from what the data set declares, its folders' names, and the user's word.

Only pictures of ``train`` are ever painted. So a picture that anything says or hints is held out stays out, and where
two sources disagree the user is asked rather than one of them believed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from inpaint_transform.datasets.formats.base import Part

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
# train, train2017, val, valid, validation, test ...: the usual names of a folder that holds one split.
_SPLIT = re.compile(r"(train|val|test)(ing|id|idation)?[-_]?\d*", re.IGNORECASE)
# A name with one of these words looks like pictures that a detector is measured on; "valset" and "testimages" too.
_HELD_OUT = re.compile(
    r"((mini)?val(id(ation|ate)?)?s?|test(s|ing)?|dev(el|elopment)?|eval(uation|uate|s)?|unseen|benchmark)"
    r"(sets?|data|images?|imgs?|pics|pictures|frames|split|fold)?",
    re.IGNORECASE,
)
_HOLDOUT = re.compile("h[oe]ld[-_ ]?out|验证|测试", re.IGNORECASE)
# What the name of a list of pictures has beside its split: train_list.txt, autosplit_val.txt.
_LIST_WORDS = ("list", "images", "image", "imgs", "img", "autosplit", "split", "set", "ids", "id", "files", "paths")
# Folders that every layout has: they say nothing about a picture, and loaders replace the first to find the labels.
PLAIN_FOLDERS = ("images", "JPEGImages")
_LABEL_FOLDERS = ("labels", "Annotations", "annotations")
MAX_SHOWN = 20


@dataclass(frozen=True)
class Place:
    """Where a picture belongs.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        name: Its path below the folder of that split.
    """

    split: str
    name: PurePosixPath


def split_named(folder: str) -> str | None:
    """``train``, ``val`` or ``test`` where a folder's name says so, else None."""
    match = _SPLIT.fullmatch(folder)
    return match.group(1).lower() if match else None


def looks_held_out(folder: str) -> bool:
    """Whether a name hints at pictures to measure on: ``dev``, ``eval``, ``test_set``, ``valImages``, ``hold-out``."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", folder)
    return bool(_HOLDOUT.search(folder)) or any(_HELD_OUT.fullmatch(word) for word in words)


def places(parts: Iterable[Part], wanted: Mapping[str, str]) -> dict[Path, Place]:
    """Where every picture belongs.

    Args:
        parts: What is read.
        wanted: The user's word: a folder's name, or its path below the data set's folder, to a split. It counts more
            than anything else.

    Raises:
        ValueError: What the data set declares and what its folders are called disagree, a folder looks held out and
            nothing says so, or there is no folder of a wanted name.
    """
    found: dict[Path, Place] = {}
    asked: set[str] = set()
    doubts: dict[str, str] = {}
    files: dict[str, Path] = {}
    for part in parts:
        for picture in part.pictures:
            folders = folders_of(part, picture)
            names = [name for name in wanted if _is_in(name, part, folders)]
            asked.update(names)
            said = {wanted[name] for name in names}
            if len(said) > 1:
                raise ValueError(f"{picture}: it lies in {' and in '.join(names)}, which are to be different splits")
            try:
                split = said.pop() if said else _split_of(part, picture, folders)
            except _DoubtError as doubt:
                doubts.setdefault(doubt.folder, str(doubt))
                continue
            found[picture] = Place(split, _name(folders, split, picture.name))
            other = files.setdefault(os.path.realpath(picture), picture)
            if found[other].split != split:
                both = f"{found[other].split} and in {split}"
                raise ValueError(f"{other} and {picture} are one file, in {both}; take one of the two away")
    if unknown := sorted(set(wanted) - asked):
        raise ValueError(f"no folder with pictures is called {unknown[0]!r}, which is to be {wanted[unknown[0]]}")
    if doubts:
        *first, last = [f"--split {folder}=train" for folder in doubts]
        raise ValueError(
            f"{'; '.join(doubts.values())}. Pictures of train are painted, those of val and test are not: say which it "
            f"is with {' '.join([*first, last])}, or =val, or =test"
        )
    return found


def with_own_name(part: Part) -> Part:
    """A part whose places were named by the user: what their own folders are called counts too."""
    if not part.images.is_dir() or part.folder:
        return part
    for place in (part.images, part.boxes):
        plain = place.name in (*PLAIN_FOLDERS, *_LABEL_FOLDERS)
        own = place.parent.name if plain else place.name
        if place.is_dir() and (split_named(own) or (not plain and looks_held_out(own))):
            return replace(part, folder=own)
    return part


def split_of_list(stem: str) -> str | None:
    """The split of a list of pictures by its name: ``train_list``, ``autosplit_val``; None where that says none."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", stem) if word and word.lower() not in _LIST_WORDS]
    return split_named(words[0]) if len(words) == 1 else None


def with_source_name(parts: Sequence[Part], source: Path) -> list[Part]:
    """The parts of a data set whose own folder is called as a split, as after ``export roboflow/valid ...``.

    It counts where nothing inside says a split.
    """
    own = source.resolve().name
    said = any(
        part.declared or any(map(split_named, folders_of(part, picture))) for part in parts for picture in part.pictures
    )
    if said or not split_named(own) or not source.is_dir():
        return list(parts)
    return [replace(part, folder=str(PurePosixPath(own, part.folder))) for part in parts]


class _DoubtError(ValueError):
    def __init__(self, folder: str, message: str) -> None:
        super().__init__(message)
        self.folder = folder


def folders_of(part: Part, picture: Path) -> list[str]:
    """The names of the folders from the data set's own down to a picture, without those that every layout has."""
    below = PurePosixPath()
    if part.images.is_dir():
        inside = picture.is_relative_to(part.images)
        below = PurePosixPath(picture.relative_to(part.images).parent if inside else picture.parent.name)
    return [name for name in (*PurePosixPath(part.folder).parts, *below.parts) if name not in PLAIN_FOLDERS]


def _is_in(name: str, part: Part, folders: Sequence[str]) -> bool:
    if name == part.images.name:
        return True
    wanted = [folder for folder in PurePosixPath(name).parts if folder not in PLAIN_FOLDERS]
    starts = range(len(folders) - len(wanted) + 1) if wanted else ()
    return any(list(folders[at : at + len(wanted)]) == wanted for at in starts)


def _split_of(part: Part, picture: Path, folders: Sequence[str]) -> str:
    named = [split for folder in folders if (split := split_named(folder))]
    declared = part.declared.get(picture)
    if declared == TRAIN:
        for folder in folders:
            if split_named(folder) != TRAIN and looks_held_out(folder) and TRAIN not in named[:1]:
                raise _DoubtError(folder, f"{part.declared_by} has pictures of the folder {folder!r} in {declared}")
        return declared
    if declared is not None:
        return declared
    for folder in folders:
        split = split_named(folder)
        if split is not None:
            if len(set(named)) > 1:
                raise _DoubtError(folder, f"{'/'.join(folders)} names two splits")
            return split
        if looks_held_out(folder):
            raise _DoubtError(folder, f"the folder {folder!r} looks held out")
    if part.in_doubt:
        raise _DoubtError(folders[0] if folders else part.images.name, part.in_doubt)
    return TRAIN


def _name(folders: Sequence[str], split: str, name: str) -> PurePosixPath:
    kept = list(folders)
    for at, folder in enumerate(kept):
        if split_named(folder) == split:
            del kept[at]
            break
    return PurePosixPath(*kept, name)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def table(parts: Iterable[Part], found: Mapping[Path, Place]) -> str:
    """A line for each folder of pictures: its split, and how many pictures it has."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for part in parts:
        by = f" ({part.declared_by.name})" if part.declared_by is not None and part.declared else ""
        for picture in part.pictures:
            if picture in found:
                counts[str(picture.parent), found[picture].split, by] += 1
    rows = sorted(counts)
    lines = [
        f"{folder} -> {split}: {_pictures(counts[folder, split, by])}{by}" for folder, split, by in rows[:MAX_SHOWN]
    ]
    if len(rows) > MAX_SHOWN:
        totals: Counter[str] = Counter()
        for row in rows[MAX_SHOWN:]:
            totals[row[1]] += counts[row]
        more = ", ".join(f"{count} {split}" for split, count in totals.items())
        lines.append(f"and {len(rows) - MAX_SHOWN} more folders: {more}")
    return "\n".join(lines)
