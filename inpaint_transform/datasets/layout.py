"""Layouts: where pictures and labels lie in the folders of YOLO, COCO and Pascal VOC data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inpaint_transform.datasets.reading import BoxFormat

# train, train2017, val, valid, validation, test ...: the usual names of a folder that holds one split.
_SPLIT = re.compile(r"(train|val|test)(ing|id|idation)?[-_]?\d*", re.IGNORECASE)
TRAIN = "train"
_PICTURE_FOLDER = {BoxFormat.YOLO: "images", BoxFormat.COCO: "images", BoxFormat.VOC: "JPEGImages"}
_LABEL_FOLDER = {BoxFormat.YOLO: "labels", BoxFormat.COCO: "annotations", BoxFormat.VOC: "Annotations"}
_LABEL_SUFFIX = {BoxFormat.YOLO: ".txt", BoxFormat.VOC: ".xml"}


@dataclass(frozen=True)
class Part:
    """Pictures and labels that are read together.

    Attributes:
        images: A picture or a folder of pictures, as ``annotations.read`` takes it.
        boxes: Their labels, as ``annotations.read`` takes them.
        folder: Name of the folder that tells this part from its siblings, or empty.
    """

    images: Path
    boxes: Path
    folder: str = ""

    def place(self, picture: Path) -> tuple[str, PurePosixPath]:
        """The split that a picture belongs to, and its path below the folder of that split.

        The split is read from the folder directly above the pictures' tree, and is ``train`` where that has another
        name. Folders named ``images`` are left out: loaders replace that word to find the labels.
        """
        relative = picture.relative_to(self.images) if self.images.is_dir() else Path(picture.name)
        folders = [name for name in (self.folder, *relative.parent.parts) if name and name != "images"]
        split = split_named(folders[0]) if folders else None
        return split or TRAIN, PurePosixPath(*folders[bool(split) :], relative.name)


def split_named(folder: str) -> str | None:
    """``train``, ``val`` or ``test`` where a folder's name says so, else None."""
    match = _SPLIT.fullmatch(folder)
    return match.group(1).lower() if match else None


def find_parts(source: Path, box_format: BoxFormat) -> list[Part]:
    """Find pictures and labels in a data set's folder, laid out as is usual for its format.

    YOLO: ``images`` and ``labels``, or such a pair in each of several folders (``train``, ``valid``). COCO: one JSON
    file, directly there or in ``annotations``, and ``images``; or a file ``annotations/instances_NAME.json`` for each
    folder ``images/NAME`` or ``NAME``. Pascal VOC: ``JPEGImages`` and ``Annotations``.

    Raises:
        ValueError: The folder is laid out in another way; the message says how to name the places instead.
    """
    if box_format is BoxFormat.COCO:
        parts = _coco_parts(source)
    else:
        folders = [("", source), *((folder.name, folder) for folder in sorted(source.glob("*")))]
        names = _PICTURE_FOLDER[box_format], _LABEL_FOLDER[box_format]
        found = [Part(folder / names[0], folder / names[1], name) for name, folder in folders]
        parts = [part for part in found if part.images.is_dir() and part.boxes.is_dir()]
    if not parts:
        raise ValueError(
            f"{source}: pictures and labels are not found in it as they usually lie in a {box_format.value} data set; "
            f"give the folder of pictures and --boxes"
        )
    return parts


def _coco_parts(source: Path) -> list[Part]:
    parts = []
    for file in sorted((source / "annotations").glob("instances_*.json")):
        name = file.stem.removeprefix("instances_")
        for images in (source / "images" / name, source / name):
            if images.is_dir():
                parts.append(Part(images, file, name))
                break
    files = [*source.glob("*.json"), *(source / "annotations").glob("*.json")]
    if not parts and len(files) == 1 and (source / "images").is_dir():
        parts = [Part(source / "images", files[0])]
    return parts


def picture_path(to: BoxFormat, split: str, name: PurePosixPath) -> PurePosixPath:
    """Where a picture lies in a data set that is written."""
    return PurePosixPath(_PICTURE_FOLDER[to], split, name)


def label_path(to: BoxFormat, split: str, name: PurePosixPath) -> PurePosixPath | None:
    """Where a picture's label file lies in a data set that is written; None for COCO, which has one for all."""
    suffix = _LABEL_SUFFIX.get(to)
    return PurePosixPath(_LABEL_FOLDER[to], split, name.with_suffix(suffix)) if suffix else None


def coco_path(split: str) -> PurePosixPath:
    """Where the JSON file of a split lies in a data set that is written."""
    return PurePosixPath(_LABEL_FOLDER[BoxFormat.COCO], f"instances_{split}.json")


def check_target(target: Path, parts: Iterable[Part]) -> None:
    """Refuse to write where pictures or labels are read: the next run would take what this one wrote for its source.

    Raises:
        ValueError: The target lies in the source, or the other way round.
    """
    wanted = target.resolve()
    for part in parts:
        for place in (part.images.resolve(), part.boxes.resolve()):
            if wanted == place or wanted in place.parents or place in wanted.parents:
                raise ValueError(f"{target} overlaps with {place}, which is read; export to another folder")
