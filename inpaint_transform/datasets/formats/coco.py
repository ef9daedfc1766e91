"""COCO: one JSON file for all pictures of a split, each box as ``[x, y, width, height]`` in pixels."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from reprlib import repr as shorten

from inpaint_transform.core.boxes import Outline
from inpaint_transform.datasets.classes import ids_of
from inpaint_transform.datasets.files import BrokenFileError, Problem
from inpaint_transform.datasets.formats.base import (
    DECIMALS,
    MIN_POLYGON,
    Corners,
    Item,
    Labelled,
    LabelledPicture,
    LeftOut,
    Orphan,
    Part,
    around,
    check_size,
    labelled,
    number,
    polygon,
)
from inpaint_transform.datasets.formats.coco_index import CocoIndex, NotCocoError, Row, match, name_of
from inpaint_transform.datasets.images import is_picture, walk
from inpaint_transform.datasets.splits import looks_held_out, split_named

# What the name of a JSON file has beside that of its split, and the names of files that hold no boxes of objects.
_WORDS = ("instances", "annotation", "annotations", "coco", "label", "labels", "bbox", "detection", "detections")
_OTHER_TASKS = ("captions_", "image_info_", "panoptic_", "stuff_", "person_keypoints_", ".")


def find(source: Path) -> list[Part]:
    """Pictures and labels of a data set's folder.

    ``annotations/instances_NAME.json`` beside ``images/NAME``, ``NAME`` or ``images``; JSON files of other names there
    or directly in the folder; or a JSON file among the pictures of each split (``train/_annotations.coco.json``).

    Raises:
        ValueError: Two files list one picture.
    """
    if not source.is_dir():
        return []
    found = []
    files = _label_files(source)
    for index, name in files:
        images = _images_of(source, index.file, name)
        pictures = tuple(sorted(filter(is_picture, walk(images)))) if images is not None else ()
        # One file for everything is called as anybody likes, but a name that says a split or hints at one counts.
        alone = len(files) == 1 and images is not None and images.name != name
        folder = "" if alone and not (split_named(name) or looks_held_out(name)) else name
        found.append(Part(images or index.file.parent, index.file, pictures, folder, index=index))
    return [_with_declared_splits(part) for part in _without_shared(found)]


def _label_files(source: Path) -> list[tuple[CocoIndex, str]]:
    """The COCO files of a data set, and the name that tells each from the others."""
    usual = sorted((source / "annotations").glob("instances_*.json"))
    if usual:
        return [(CocoIndex(file), file.stem.removeprefix("instances_")) for file in usual]
    folders = [folder for folder in sorted(source.glob("*")) if folder.is_dir() and folder.name != "annotations"]
    top = [
        (file, _name(file.stem)) for place in (source, source / "annotations") for file in sorted(place.glob("*.json"))
    ]
    deep = [
        (file, _name_below(folder, file))
        for folder in folders
        for place in (folder, folder / "annotations", folder / "labels")
        for file in sorted(place.glob("*.json"))
    ]
    return [(index, name) for file, name in (*top, *deep) if (index := _coco_index(file)) is not None]


def _name_below(folder: Path, file: Path) -> str:
    """The name of a file in a folder of the data set: the folder's, unless its own says a split or hints at one."""
    own = _name(file.stem)
    if not split_named(own) and not looks_held_out(own):
        return folder.name
    said = split_named(folder.name)
    # Where both say one, and not the same, the user is asked.
    differ = looks_held_out(folder.name) if said is None else said != split_named(own)
    return f"{folder.name}/{own}" if differ else own


def _name(stem: str) -> str:
    words = re.split(r"[_.-]+", stem)
    splits = [word for word in words if split_named(word)]
    return splits[0] if len(splits) == 1 else "_".join(word for word in words if word and word not in _WORDS)


def _coco_index(file: Path) -> CocoIndex | None:
    """A JSON file as a COCO file of boxes, or None if it is something else."""
    if file.name.startswith(_OTHER_TASKS):
        return None
    try:
        return CocoIndex(file)
    except NotCocoError:
        return None


def _images_of(source: Path, file: Path, name: str) -> Path | None:
    """The folder with a file's pictures: that of its name, else where pictures are at all."""
    ways = [source / "images" / name, source / name] if name else []
    above = [file.parent.parent] if source in file.parent.parent.parents else []
    for folder in (*ways, file.parent, *above, source / "images", source):
        if folder.is_dir() and any(map(is_picture, walk(folder))):
            return folder
    return None


def _without_shared(parts: Sequence[Part]) -> list[Part]:
    """The parts, where several have one picture with the one that lists it, or else that whose folder is nearest."""
    holders: dict[Path, list[int]] = defaultdict(list)
    for number_, part in enumerate(parts):
        for picture in part.pictures:
            holders[picture].append(number_)
    if all(len(numbers) == 1 for numbers in holders.values()):
        return list(parts)
    listed = [set(match(part.pictures, part.images, _entries(part))[0]) for part in parts]
    own: list[list[Path]] = [[] for _ in parts]
    for picture, numbers in holders.items():
        claims = [number_ for number_ in numbers if picture in listed[number_]]
        if len(claims) > 1:
            first, second, *_ = (parts[number_].boxes for number_ in claims)
            raise BrokenFileError(second, None, f"{picture} is in {first} too; give one of the two with --boxes")
        nearest = max(numbers, key=lambda number_: len(parts[number_].images.parts))
        own[claims[0] if claims else nearest].append(picture)
    return [replace(part, pictures=tuple(sorted(pictures))) for part, pictures in zip(parts, own, strict=True)]


def part(images: Path, boxes: Path) -> Part:
    """Pictures and labels whose places are named."""
    pictures = tuple(sorted(filter(is_picture, walk(images)))) if images.is_dir() else (images,)
    name = _name(boxes.stem)
    folder = name if split_named(name) or looks_held_out(name) else ""
    return _with_declared_splits(Part(images, boxes, pictures, folder, index=CocoIndex(boxes)))


def _index(part: Part) -> CocoIndex:
    return CocoIndex(part.boxes) if part.index is None else part.index


def _entries(part: Part) -> dict[str, Row]:
    return {name_of(row): row for row in _index(part).images}


def _with_declared_splits(part: Part) -> Part:
    """A part with the splits that the entries themselves name, in a field ``split``, if any do."""
    entries = _entries(part)
    said = {name: row["split"] for name, row in entries.items() if isinstance(row.get("split"), str)}
    if not any(map(split_named, said.values())):
        return part
    names, _ = match(part.pictures, part.images, entries)
    declared = {picture: split for picture, name in names.items() if (split := split_named(said.get(name, "")))}
    return replace(part, declared=declared, declared_by=part.boxes)


def classes(part: Part, names: Mapping[int, str] | None) -> dict[int, str]:
    """Class id to name of the file's categories."""
    del names
    return _index(part).classes()


def reader(part: Part, names: Mapping[int, str] | None, clip: bool) -> CocoReader:
    """Read the file of a part; see ``base.Format``."""
    del names
    return CocoReader(part, _index(part), clip)


class CocoReader:
    """Reads the boxes that one file has for many pictures."""

    def __init__(self, part: Part, index: CocoIndex, clip: bool) -> None:
        self._part = part
        self._index = index
        self._clip = clip
        self._entries = _entries(part)
        self._names, self._doubts = match(part.pictures, part.images, self._entries)

    def _entry(self, picture: Path) -> Row | None:
        name = self._names.get(picture)
        return None if name is None else self._entries[name]

    def has_entry(self, picture: Path) -> bool:
        """Whether the file lists the picture."""
        return picture in self._names

    def count(self, picture: Path) -> int:
        """How many boxes the file has for it."""
        entry = self._entry(picture)
        return 0 if entry is None else len(self._index.boxes_of(entry))

    def read(self, picture: Path, height: int, width: int) -> Iterator[Item]:
        """The boxes of a picture; those of whole crowds are left out."""
        file, entry = self._index.file, self._entry(picture)
        below = picture.relative_to(self._part.images) if picture.is_relative_to(self._part.images) else picture
        shown = picture.name if below == Path() else below.as_posix()
        if entry is None:
            why = f" ({self._doubts[picture]})" if picture in self._doubts else ""
            reason = "without a clear entry" if why else "without an entry"
            yield Problem(file, None, f"no entry among its images for {shown}{why}", reason)
            return
        doubt = self._index.doubt_about(entry)
        if doubt is not None:
            yield Problem(file, None, f"image {shown}: {doubt}", "without a clear entry")
            return
        try:
            check_size(entry.get("width"), entry.get("height"), height, width)
        except ValueError as error:
            yield Problem(file, None, f"image {shown}: {error}", "of another size than their labels")
            return
        for row in self._index.boxes_of(entry):
            yield self._item(row, shown, height, width)

    def _item(self, row: Row, shown: str, height: int, width: int) -> Item:
        try:
            return self._box(row, height, width)
        except ValueError as error:
            where = f"annotation id {shorten(row.get('id'))} of {shown}"
            return Problem(self._index.file, None, f"{where}: {error}", "with broken labels")

    def _box(self, row: Row, height: int, width: int) -> Labelled | LeftOut:
        if _is_crowd(row.get("iscrowd")):
            return LeftOut("of crowds")
        corners, label = _corners(row), self._index.class_name(row.get("category_id"))
        return labelled(corners, label, height, width, self._clip, _outline(row))

    def orphans(self) -> Iterator[Orphan]:
        """Entries without a picture, and annotations of images that the file does not list."""
        file, used = self._index.file, set(self._names.values())
        for row in self._index.images:
            if name_of(row) not in used:
                shown = shorten(row.get("file_name"))
                problem = Problem(file, None, f"no picture for its entry {shown}", "without a picture")
                yield Orphan(problem, 1, len(self._index.boxes_of(row)))
        for row in self._index.strays:
            where = f"annotation id {shorten(row.get('id'))}"
            message = f"{where}: no image has the id {shorten(row.get('image_id'))}"
            yield Orphan(Problem(file, None, message, "of unknown images"), 0, 1)


def _corners(row: Row) -> Corners:
    """The corners of an annotation's box; without one, those of the box around its polygons."""
    bbox, polygons = row.get("bbox"), row.get("segmentation")
    if bbox in (None, []) and isinstance(polygons, list) and polygons:
        if not all(isinstance(polygon, list) and len(polygon) >= MIN_POLYGON for polygon in polygons):
            raise ValueError(f"segmentation={shorten(polygons)}: expected polygons [x, y, x, y, x, y, ...]")
        return around([number(value) for polygon in polygons for value in polygon])
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox={shorten(bbox)}: expected [x, y, width, height]")
    x, y, width, height = map(number, bbox)
    return x, y, x + width, y + height


def _outline(row: Row) -> Outline | None:
    """The polygon of an object; None of one that has none, that is in several parts, or whose polygon is broken."""
    polygons = row.get("segmentation")
    if not isinstance(polygons, list) or len(polygons) != 1 or not isinstance(polygons[0], list):
        return None
    try:
        return polygon([number(value) for value in polygons[0]])
    except ValueError:
        return None


def _is_crowd(value: object) -> bool:
    if value in (None, False, 0, "", "0", "false", "False"):
        return False
    if value in (True, 1, "1", "true", "True"):
        return True
    raise ValueError(f"iscrowd={shorten(value)}: expected 0 or 1")


def picture_path(split: str, name: PurePosixPath) -> PurePosixPath:
    """Where a picture lies in a data set that is written."""
    return PurePosixPath("images", split, name)


def label_file(split: str, picture: LabelledPicture, classes: Mapping[int, str]) -> None:
    """None: one file is for all pictures of a split."""
    del split, picture, classes


def indices(
    pictures: Mapping[str, Sequence[LabelledPicture]], classes: Mapping[int, str]
) -> Iterator[tuple[PurePosixPath, str]]:
    """The label file of each split; ids count from 1 in the order of the pictures and their boxes."""
    for split, listed in pictures.items():
        yield PurePosixPath("annotations", f"instances_{split}.json"), _document(listed, classes)


def _document(pictures: Sequence[LabelledPicture], classes: Mapping[int, str]) -> str:
    ids = ids_of(classes)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, picture in enumerate(pictures, start=1):
        images.append(
            {"id": image_id, "file_name": str(picture.name), "width": picture.width, "height": picture.height}
        )
        for (x0, y0, x1, y1), label in zip(picture.corners, picture.labels, strict=True):
            width, height = x1 - x0, y1 - y0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[label],
                    "bbox": [round(side, DECIMALS) for side in (x0, y0, width, height)],
                    "area": round(width * height, DECIMALS),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": name} for index, name in classes.items()]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})
