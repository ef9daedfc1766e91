"""Pascal VOC: an XML file a picture with the corners of its boxes, and lists of the pictures of each split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from reprlib import repr as shorten
from xml.etree import ElementTree

from inpaint_transform.core.boxes import from_pixels
from inpaint_transform.datasets.files import BrokenFileError, Problem, exists, read_xml
from inpaint_transform.datasets.formats import image_sets
from inpaint_transform.datasets.formats.base import (
    Corners,
    Item,
    Labelled,
    LabelledPicture,
    LeftOut,
    Orphan,
    Part,
    around,
    as_spelled,
    check_size,
    labelled,
    number,
)
from inpaint_transform.datasets.images import is_picture, walk

# Loaders open JPEGImages/ID.jpg for every ID of a list, whatever the picture's type, and look at the content.
SUFFIX = ".jpg"
_FOLDERS = (("JPEGImages", "Annotations"), ("images", "annotations"), ("images", "Annotations"), ("images", "labels"))


def find(source: Path) -> list[Part]:
    """Pictures and labels of a data set's folder.

    ``JPEGImages`` and ``Annotations`` (or ``images`` and ``annotations``), or such a pair in each of several folders
    (``VOC2007``); or label files beside the pictures, as LabelImg saves them.

    Raises:
        ValueError: The lists of the splits contradict each other.
    """
    if not source.is_dir():
        return []
    folders = [("", source), *((folder.name, folder) for folder in sorted(source.glob("*")) if folder.is_dir())]
    pairs = [pair for name, folder in folders if (pair := _pair(folder, name)) is not None]
    if any(boxes.is_dir() for _, boxes, _ in pairs):
        # A folder of pictures without labels is a loss that must be seen, and so are labels without pictures.
        return [_with_declared_splits(_part(*pair)) for pair in pairs]
    files = list(walk(source))
    pictures = {path.with_suffix("") for path in files if is_picture(path)}
    beside = any(path.with_suffix("") in pictures and _is_label_file(path) for path in files if path.suffix == ".xml")
    return [_with_declared_splits(_part(source, source, ""))] if beside else []


def _pair(folder: Path, name: str) -> tuple[Path, Path, str] | None:
    """The folders with pictures and with labels, of which one may be missing."""
    for images, boxes in _FOLDERS:
        if (folder / images).is_dir() and _has_labels(folder / boxes):
            return folder / images, folder / boxes, name
    if _has_labels(folder / "Annotations") or (folder / "JPEGImages").is_dir():
        return folder / "JPEGImages", folder / "Annotations", name
    return None


def _has_labels(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix == ".xml" for path in walk(folder))


def part(images: Path, boxes: Path) -> Part:
    """Pictures and labels whose places are named; splits are those of the ``ImageSets`` beside the pictures."""
    return _with_declared_splits(_part(images, boxes, ""))


def _part(images: Path, boxes: Path, folder: str) -> Part:
    pictures = tuple(sorted(filter(is_picture, walk(images)))) if images.is_dir() else ()
    return Part(images, boxes, pictures or ((images,) if images.is_file() else ()), folder)


def _with_declared_splits(part: Part) -> Part:
    return image_sets.with_declared_splits(part, part.images.parent)


def _is_label_file(path: Path) -> bool:
    try:
        return read_xml(path)[0].tag == "annotation"
    except BrokenFileError:
        return False


def classes(part: Part, names: Mapping[int, str] | None) -> dict[int, str]:
    """Empty: Pascal VOC declares no classes."""
    del part, names
    return {}


def reader(part: Part, names: Mapping[int, str] | None, clip: bool) -> VocReader:
    """Read the label files of a part; see ``base.Format``."""
    del names
    return VocReader(part, clip)


class VocReader:
    """Reads a label file a picture; a picture without one has no objects."""

    def __init__(self, part: Part, clip: bool) -> None:
        self._part = part
        self._clip = clip

    def _label_file(self, picture: Path) -> Path:
        part = self._part
        if not part.boxes.is_dir():
            return part.boxes
        relative = picture.relative_to(part.images) if part.images.is_dir() else Path(picture.name)
        return as_spelled(part.boxes / relative, ".xml")

    def has_entry(self, picture: Path) -> bool:
        """Whether there is a label file."""
        return exists(self._label_file(picture))

    def count(self, picture: Path) -> int:
        """How many objects are in it."""
        return _count(self._label_file(picture))

    def read(self, picture: Path, height: int, width: int) -> Iterator[Item]:
        """The boxes of a picture."""
        path = self._label_file(picture)
        if not exists(path):
            return
        try:
            tree, lines = read_xml(path)
        except BrokenFileError as error:
            yield error.problem
            return
        if tree.tag != "annotation":
            yield Problem(path, lines[tree], f"not a Pascal VOC file: it holds <{shorten(tree.tag)}>")
            return
        size = tree.find("size")
        if size is not None:
            try:
                check_size(_optional(size, "width"), _optional(size, "height"), height, width)
            except ValueError as error:
                yield Problem(path, lines[size], str(error), "of another size than their labels")
                return
        for element in tree.iter("object"):
            yield self._item(path, element, lines[element], height, width)

    def _item(self, path: Path, element: ElementTree.Element, line: int, height: int, width: int) -> Item:
        try:
            return self._box(element, height, width)
        except ValueError as error:
            return Problem(path, line, str(error), "with broken labels")

    def _box(self, element: ElementTree.Element, height: int, width: int) -> Labelled | LeftOut:
        label = (element.findtext("name") or "").strip()
        if not label:
            raise ValueError("an <object> without a <name>")
        bndbox = element.find("bndbox")
        if bndbox is None:
            return labelled(_around(element), label, height, width, self._clip)
        # The numbers are taken as corners, as the tools that write VOC files today mean them (LabelImg, CVAT, Roboflow)
        # and as Albumentations reads them. The 1-based inclusive pixels of the original challenge differ by one pixel
        # on the left and at the top.
        x0, y0, x1, y1 = (number(_optional(bndbox, name)) for name in ("xmin", "ymin", "xmax", "ymax"))
        return labelled((x0, y0, x1, y1), label, height, width, self._clip)

    def orphans(self) -> Iterator[Orphan]:
        """Label files without a picture."""
        part = self._part
        if not part.boxes.is_dir():
            return
        known = {self._label_file(picture) for picture in (*part.pictures, *part.unplaced)}
        for path in sorted(walk(part.boxes)):
            if path.suffix.lower() == ".xml" and path not in known and _is_label_file(path):
                yield Orphan(Problem(path, None, "no picture for these labels", "without a picture"), 1, _count(path))


def _around(element: ElementTree.Element) -> Corners:
    """The upright box around an object's rotated box, as roLabelImg writes it, or around its polygon, as Roboflow does.

    Raises:
        ValueError: It has neither.
    """
    rotated, polygon = element.find("robndbox"), element.find("polygon")
    if rotated is not None:
        x, y, width, height, angle = (number(_optional(rotated, name)) for name in ("cx", "cy", "w", "h", "angle"))
        if not math.isfinite(angle):
            raise ValueError("a rotated box with an angle that is not finite")
        across = (width * abs(math.cos(angle)) + height * abs(math.sin(angle))) / 2
        down = (width * abs(math.sin(angle)) + height * abs(math.cos(angle))) / 2
        return x - across, y - down, x + across, y + down
    names = [] if polygon is None else [f"{axis}{point}" for point in range(1, len(polygon) // 2 + 1) for axis in "xy"]
    if polygon is None or len(names) < 6:
        raise ValueError("an <object> without a <bndbox>")
    return around([number(_optional(polygon, name)) for name in names])


def _count(path: Path) -> int:
    try:
        return sum(1 for _ in read_xml(path)[0].iter("object"))
    except BrokenFileError:
        return 0


def _optional(element: ElementTree.Element, name: str) -> str | None:
    text = element.findtext(name)
    return text.strip() if text else None


def picture_path(split: str, name: PurePosixPath) -> PurePosixPath:
    """Where a picture lies in a data set that is written, whatever its type: see ``SUFFIX``."""
    return PurePosixPath("JPEGImages", split, name.with_suffix(SUFFIX))


def label_file(split: str, picture: LabelledPicture, classes: Mapping[int, str]) -> tuple[PurePosixPath, str] | None:
    """Path and text of a picture's label file; corners are half-open, as LabelImg, CVAT and Roboflow write them."""
    del classes
    root = ElementTree.Element("annotation")
    _texts(root, folder=picture.name.parent.name, filename=picture.name.with_suffix(SUFFIX).name)
    size = ElementTree.SubElement(root, "size")
    _texts(size, width=picture.width, height=picture.height, depth=3)
    boxes = from_pixels(list(picture.corners), picture.height, picture.width)
    for (x0, y0, x1, y1), label in zip(boxes, picture.labels, strict=True):
        element = ElementTree.SubElement(root, "object")
        _texts(element, name=label, pose="Unspecified", truncated=0, difficult=0)
        _texts(ElementTree.SubElement(element, "bndbox"), xmin=x0, ymin=y0, xmax=x1, ymax=y1)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode") + "\n"
    return PurePosixPath("Annotations", split, picture.name.with_suffix(".xml")), text


def _texts(parent: ElementTree.Element, **values: object) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)


def indices(
    pictures: Mapping[str, Sequence[LabelledPicture]], classes: Mapping[int, str]
) -> Iterator[tuple[PurePosixPath, str]]:
    """The list of each split, under ``ImageSets/Main``."""
    del classes
    for split, listed in pictures.items():
        names = "".join(f"{split}/{picture.name.with_suffix('')}\n" for picture in listed)
        yield PurePosixPath("ImageSets", "Main", f"{split}.txt"), names
