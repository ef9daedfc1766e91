"""YOLO: a text file a picture, ``class x y width height`` a line, and a ``data.yaml`` with class names and splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from reprlib import repr as shorten

import yaml  # type: ignore[import-untyped] # ships no types, and one call is not worth a stub package

from inpaint_transform.datasets.classes import ids_of
from inpaint_transform.datasets.files import BrokenFileError, Problem, exists, read_text
from inpaint_transform.datasets.formats import image_sets, yolo_data
from inpaint_transform.datasets.formats.base import (
    MIN_POLYGON,
    Item,
    Labelled,
    LabelledPicture,
    LeftOut,
    Orphan,
    Part,
    around,
    as_spelled,
    labelled,
    number,
    polygon,
)
from inpaint_transform.datasets.images import is_picture, walk


def find(source: Path) -> list[Part]:
    """Pictures and labels of a data set's folder, or of a ``data.yaml``.

    What a ``data.yaml`` declares comes first. Otherwise ``images`` and ``labels``, or such a pair in each of several
    folders (``train``, ``valid``), or label files beside the pictures.

    Raises:
        ValueError: The declared splits cannot be found or overlap.
    """
    declared = yolo_data.declaration(source)
    if declared is not None:
        return [declared]
    if not source.is_dir():
        return []
    folders = [("", source), *((folder.name, folder) for folder in sorted(source.glob("*")) if folder.is_dir())]
    if any((folder / "labels").is_dir() for _, folder in folders):
        return [found for name, folder in folders if (found := _pair(folder, name)) is not None]
    if not _labels_beside(source):
        return []
    beside = replace(_part(source, source, "", source), in_doubt=yolo_data.doubt(source))
    return [image_sets.with_declared_splits(beside, source)]


def _pair(folder: Path, name: str) -> Part | None:
    """The pictures and labels of a folder that has ``images`` or ``labels``, and maybe a ``data.yaml`` of its own."""
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() and not labels.is_dir():
        return None
    declared = yolo_data.declaration(folder) if name else None
    if declared is not None:
        return replace(declared, folder=name)
    own, above = yolo_data.doubt(folder), yolo_data.doubt(folder.parent) if name else ""
    found = replace(_part(images, labels, name, folder), in_doubt=own or above)
    return image_sets.with_declared_splits(found, folder)


def part(images: Path, boxes: Path) -> Part:
    """Pictures and labels whose places are named; splits are those of the ``data.yaml`` that lies with the labels."""
    found = yolo_data.with_declared_splits(_part(images, boxes, "", boxes))
    return found if found.declared else image_sets.with_declared_splits(found, images.parent)


def _part(images: Path, boxes: Path, folder: str, source: Path) -> Part:
    keypoints = yolo_data.keypoints(source)
    pictures = tuple(sorted(filter(is_picture, walk(images)))) if images.is_dir() else ()
    return Part(images, boxes, pictures or ((images,) if images.is_file() else ()), folder, keypoints=keypoints)


def _labels_beside(folder: Path) -> bool:
    files = list(walk(folder))
    pictures = {path.with_suffix("") for path in files if is_picture(path)}
    return any(
        path.with_suffix("") in pictures and yolo_data.is_label_file(path) for path in files if path.suffix == ".txt"
    )


def classes(part: Part, names: Mapping[int, str] | None) -> dict[int, str]:
    """Class id to name: as given, or those of the ``data.yaml`` or ``classes.txt`` that lies with the labels."""
    return dict(names) if names is not None else yolo_data.find_names(part.boxes)


def reader(part: Part, names: Mapping[int, str] | None, clip: bool) -> YoloReader:
    """Read the label files of a part; see ``base.Format``."""
    return YoloReader(part, classes(part, names), clip)


class YoloReader:
    """Reads a label file a picture.

    A picture without one has no objects: so say the trainers.
    """

    def __init__(self, part: Part, names: Mapping[int, str], clip: bool) -> None:
        self._part = part
        self._names = names
        self._clip = clip

    def _label_file(self, picture: Path) -> Path:
        part = self._part
        if not part.boxes.is_dir():
            return part.boxes
        if part.declared_by is not None and part.images == part.boxes:
            return yolo_data.label_file(picture)
        relative = picture.relative_to(part.images) if part.images.is_dir() else Path(picture.name)
        return as_spelled(part.boxes / relative, ".txt")

    def has_entry(self, picture: Path) -> bool:
        """Whether there is a label file."""
        return exists(self._label_file(picture))

    def count(self, picture: Path) -> int:
        """How many boxes are in it."""
        return _count(self._label_file(picture))

    def read(self, picture: Path, height: int, width: int) -> Iterator[Item]:
        """The boxes of a picture; of a polygon and of a rotated box the upright box around it."""
        path = self._label_file(picture)
        if not exists(path):
            return
        try:
            text = read_text(path)
        except BrokenFileError as error:
            yield error.problem
            return
        for line, content in enumerate(text.split("\n"), start=1):
            if not content.strip():
                continue
            try:
                yield self._box(content.split(), height, width)
            except ValueError as error:
                yield Problem(path, line, str(error), "with broken labels")

    def _box(self, columns: Sequence[str], height: int, width: int) -> Labelled | LeftOut:
        class_id, *numbers = map(number, columns)
        outlined = len(columns) > MIN_POLYGON and len(columns) % 2 and not self._part.keypoints
        if len(columns) != 5 + self._part.keypoints and not outlined:
            more = "; for boxes with keypoints the data.yaml must have kpt_shape" if len(columns) > 6 else ""
            raise ValueError(
                f"expected 'class x y width height' or 'class x y x y x y ...', found {len(columns)} columns{more}"
            )
        label = self._names.get(int(class_id)) if class_id.is_integer() else None
        if label is None:
            raise ValueError(f"class id {shorten(columns[0])} has no name among the {len(self._names)} class names")
        if outlined:
            points = [value * (height if row % 2 else width) for row, value in enumerate(numbers)]
            return labelled(around(points), label, height, width, self._clip, polygon(points))
        x, y, box_width, box_height = numbers[:4]
        x0, x1 = (x - box_width / 2) * width, (x + box_width / 2) * width
        y0, y1 = (y - box_height / 2) * height, (y + box_height / 2) * height
        return labelled((x0, y0, x1, y1), label, height, width, self._clip)

    def orphans(self) -> Iterator[Orphan]:
        """Label files without a picture."""
        part = self._part
        if not part.boxes.is_dir():
            return
        # Pictures that are in no declared split have labels too.
        known = {self._label_file(picture) for picture in (*part.pictures, *part.unplaced)}
        if part.declared_by is not None and part.images == part.boxes:
            files = sorted({file for folder in {path.parent for path in known} for file in folder.glob("*.txt")})
        else:
            files = sorted(walk(part.boxes))
        for path in files:
            if path.suffix.lower() == ".txt" and path not in known and yolo_data.is_label_file(path):
                yield Orphan(Problem(path, None, "no picture for these labels", "without a picture"), 1, _count(path))


def _count(path: Path) -> int:
    try:
        return sum(bool(line.strip()) for line in read_text(path).split("\n"))
    except ValueError:
        return 0


def picture_path(split: str, name: PurePosixPath) -> PurePosixPath:
    """Where a picture lies in a data set that is written."""
    return PurePosixPath("images", split, name)


def label_file(split: str, picture: LabelledPicture, classes: Mapping[int, str]) -> tuple[PurePosixPath, str] | None:
    """Path and text of a picture's label file: the box's centre and sides as shares."""
    ids = ids_of(classes)
    lines = []
    for (x0, y0, x1, y1), label in zip(picture.corners, picture.labels, strict=True):
        numbers = (
            (x0 + x1) / 2 / picture.width,
            (y0 + y1) / 2 / picture.height,
            (x1 - x0) / picture.width,
            (y1 - y0) / picture.height,
        )
        lines.append(" ".join([str(ids[label]), *(f"{share:.10g}" for share in numbers)]))
    return PurePosixPath("labels", split, picture.name.with_suffix(".txt")), "".join(f"{line}\n" for line in lines)


def indices(
    pictures: Mapping[str, Sequence[LabelledPicture]], classes: Mapping[int, str]
) -> Iterator[tuple[PurePosixPath, str]]:
    """The ``data.yaml`` that Ultralytics trains from; paths are relative to it."""
    folders = {split: picture_path(split, PurePosixPath()) for split in pictures}
    train = folders.get("train", next(iter(folders.values())))
    paths: dict[str, object] = {"train": str(train), "val": str(folders.get("val", train))}
    if "test" in folders:
        paths["test"] = str(folders["test"])
    notes = [
        f"# There is no folder {split!r} yet: {place}\n"
        for split, place in (("train", "name one before you train."), ("val", "name pictures that were not painted."))
        if split not in folders
    ]
    text = yaml.safe_dump(paths | {"names": dict(classes)}, sort_keys=False, allow_unicode=True)
    yield PurePosixPath("data.yaml"), "".join(notes) + text
