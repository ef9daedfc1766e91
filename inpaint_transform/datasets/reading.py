"""Annotations: pictures and their boxes, read from YOLO, COCO and Pascal VOC label files.

Coordinates become the library's boxes: half-open pixels, rounded to the nearest. Up to one pixel beyond the image
is the rounding of whoever wrote the file and is clipped; anything further is a problem of that picture. Boxes
without area are kept: nothing ever selects them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from reprlib import repr as shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inpaint_transform.core.boxes import Box, from_pixels
from inpaint_transform.datasets.files import (
    BrokenFileError,
    Problem,
    read_bytes,
    read_json,
    read_text,
    read_xml,
    read_yaml,
)

if TYPE_CHECKING:
    from xml.etree import ElementTree

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# A box in pixels as a label file has it, before it is rounded: x0, y0, x1, y1.
Corners = tuple[float, float, float, float]


class BoxFormat(str, Enum):
    """How boxes are written down."""

    YOLO = "yolo"
    COCO = "coco"
    VOC = "voc"


@dataclass(frozen=True)
class Annotation:
    """The boxes of one picture that can be read.

    Attributes:
        image: The picture's file.
        boxes: Half-open pixel boxes inside the picture, in the order of the label file.
        labels: One class name a box.
        corners: The boxes as exactly as the label file has them, clipped to the picture. What is equal in whole pixels
            counts as equal: formats differ in the last digits.
    """

    image: Path
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    corners: tuple[Corners, ...] = field(default=(), compare=False)


Labelled = tuple[Box, str, Corners]
# What a format knows about one picture (path, height, width): its boxes, and what is wrong with the others.
BoxReader = Callable[[Path, int, int], Iterable[Labelled | Problem]]


def read(
    images: Path, boxes: Path, box_format: BoxFormat, names: Mapping[int, str] | None = None
) -> Iterator[Annotation | Problem]:
    """Read a picture or a folder of pictures with their boxes, one at a time.

    Args:
        images: A picture, or a folder that is searched for pictures in all its depth.
        boxes: YOLO and VOC: the label file of the one picture, or a folder with one label file a picture under the
            same relative path. COCO: the JSON file.
        box_format: How the boxes are written down.
        names: YOLO only: class id to name. Default: the ``data.yaml`` or ``classes.txt`` that lies with the labels.

    Returns:
        Pictures in the order of their paths: an annotation, or every problem that was found. A picture with a problem
        has no annotation, because a box nobody could read may lie where another is painted.

    Raises:
        FileNotFoundError: ``images`` or ``boxes`` does not exist.
        ValueError: There is no picture, the COCO file is broken, or YOLO labels have no class names at all.
    """
    pictures = find_pictures(images)
    if not boxes.exists():
        raise FileNotFoundError(f"{boxes}: there is no such file or folder with boxes")
    if box_format is BoxFormat.COCO:
        reader = _coco_reader(boxes, images)
    elif images.is_dir() and not boxes.is_dir():
        raise ValueError(f"{boxes}: {images} is a folder of pictures, so the boxes must be a folder of label files too")
    elif box_format is BoxFormat.YOLO:
        reader = _yolo_reader(boxes, images, names if names is not None else find_names(boxes))
    else:
        reader = _voc_reader(boxes, images)
    return _read_each(pictures, reader)


def _read_each(pictures: Iterable[Path], reader: BoxReader) -> Iterator[Annotation | Problem]:
    for picture in pictures:
        try:
            height, width = read_image(picture).shape[:2]
        except BrokenFileError as error:
            yield error.problem
            continue
        found, problems = [], []
        for item in reader(picture, height, width):
            if isinstance(item, Problem):
                problems.append(item)
            else:
                found.append(item)
        if problems:
            yield from problems
        else:
            boxes, labels, corners = zip(*found, strict=True) if found else ((), (), ())
            yield Annotation(picture, boxes, labels, corners)


def find_pictures(images: Path) -> list[Path]:
    """The picture itself, or all pictures in a folder and its subfolders in the order of their paths.

    Raises:
        FileNotFoundError: ``images`` does not exist.
        ValueError: The folder holds no picture.
    """
    if not images.exists():
        raise FileNotFoundError(f"{images}: there is no such picture or folder")
    if not images.is_dir():
        return [images]
    pictures = sorted(path for path in images.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not pictures:
        raise ValueError(f"{images}: the folder holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return pictures


def read_image(path: Path) -> np.ndarray:
    """Read a picture as people see it: its EXIF orientation applied, grey replicated, alpha dropped.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        BrokenFileError: It is not there, or is not a whole picture.
    """
    content = io.BytesIO(read_bytes(path))
    try:
        upright = ImageOps.exif_transpose(Image.open(content))
        if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scale
            upright = Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
        pixels: np.ndarray = np.array(upright.convert("RGB"))
    except UnidentifiedImageError as error:
        raise BrokenFileError(path, None, "not a picture") from error
    except Exception as error:
        # Pillow's decoders raise whatever a broken file makes them trip over.
        raise BrokenFileError(path, None, f"not a whole picture ({error})") from error
    return pixels


def read_names(source: str) -> dict[int, str]:
    """Read class names.

    Args:
        source: A YAML file with ``names`` (list, or id to name), a text file with one name a line, or the names
            themselves with commas between.

    Returns:
        Class id to name.

    Raises:
        ValueError: The file is not there, is broken or has no names.
    """
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml"):
        listed = _yaml_names(path)
    elif path.suffix.lower() == ".txt":
        listed = dict(enumerate(read_text(path).split("\n")))
    else:
        listed = dict(enumerate(source.split(",")))
    names = {index: name.strip() for index, name in listed.items() if name.strip()}
    if not names:
        raise ValueError(f"names={source!r}: there are no class names in it")
    return names


def _yaml_names(path: Path) -> dict[int, str]:
    document = read_yaml(path)
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise BrokenFileError(path, None, "it has no list 'names'")
    for index, name in names.items():
        if type(index) is not int or not isinstance(name, str | int | float):
            raise BrokenFileError(
                path, None, f"names: {shorten(index)}: {shorten(name)} is not a class id and its name"
            )
    return {index: str(name) for index, name in names.items()}


def find_names(boxes: Path) -> dict[int, str]:
    """Find ``data.yaml`` or ``classes.txt`` beside YOLO labels, or up to two folders above.

    Raises:
        ValueError: There is none, or it has no names.
    """
    folder = (boxes if boxes.is_dir() else boxes.parent).resolve()
    for place in (folder, *list(folder.parents)[:2]):
        for name in ("data.yaml", "classes.txt"):
            if (place / name).is_file():
                return read_names(str(place / name))
    raise ValueError(f"{boxes}: YOLO labels hold class ids only; give names as a data.yaml, a classes.txt or a,b,c")


def read_classes(boxes: Path, box_format: BoxFormat, names: Mapping[int, str] | None = None) -> dict[int, str]:
    """The classes that label files declare, whether or not a box has them.

    Args:
        boxes: As ``read`` takes it.
        box_format: How the boxes are written down.
        names: As ``read`` takes it.

    Returns:
        Class id to name; empty for Pascal VOC, which declares none.

    Raises:
        ValueError: The COCO file is broken, or YOLO labels have no class names at all.
    """
    if box_format is BoxFormat.VOC:
        return {}
    if box_format is BoxFormat.YOLO:
        return dict(names) if names is not None else find_names(boxes)
    rows = [(row.get("id"), row.get("name")) for row in _coco_sections(boxes)["categories"]]
    return {index: name.strip() for index, name in rows if type(index) is int and isinstance(name, str)}


def _yolo_reader(boxes: Path, images: Path, names: Mapping[int, str]) -> BoxReader:
    def read_boxes(picture: Path, height: int, width: int) -> Iterator[Labelled | Problem]:
        path = _label_file(boxes, images, picture, ".txt")
        try:
            text = read_text(path)
        except BrokenFileError as error:
            yield error.problem
            return
        for line, content in enumerate(text.split("\n"), start=1):
            if not content.strip():
                continue
            try:
                yield _yolo_box(content.split(), names, height, width)
            except ValueError as error:
                yield Problem(path, line, str(error))

    return read_boxes


def _yolo_box(columns: Sequence[str], names: Mapping[int, str], height: int, width: int) -> Labelled:
    if len(columns) > 6 and len(columns) % 2:
        raise ValueError(f"a segmentation polygon of {len(columns) // 2} points; convert polygons to boxes first")
    if len(columns) != 5:
        raise ValueError(f"expected 'class x y width height', found {len(columns)} columns")
    class_id, x, y, box_width, box_height = map(_number, columns)
    label = names.get(int(class_id)) if class_id.is_integer() else None
    if label is None:
        raise ValueError(f"class id {shorten(columns[0])} has no name among the {len(names)} class names")
    x0, x1 = (x - box_width / 2) * width, (x + box_width / 2) * width
    y0, y1 = (y - box_height / 2) * height, (y + box_height / 2) * height
    return _labelled((x0, y0, x1, y1), label, height, width)


def _coco_sections(file: Path) -> dict[str, list[dict[str, Any]]]:
    document = read_json(file)
    sections = {}
    for section in ("images", "annotations", "categories"):
        rows = document.get(section) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BrokenFileError(file, None, f"not a COCO file: it has no list of objects {section!r}")
        sections[section] = rows
    return sections


def _coco_reader(file: Path, images: Path) -> BoxReader:
    sections = _coco_sections(file)
    # Keys are compared as text: nothing in a garbage file is then unhashable.
    names = {str(row.get("id")): row.get("name") for row in sections["categories"]}
    entries = {str(row.get("file_name")).replace("\\", "/"): row for row in sections["images"]}
    by_name = {name.rpartition("/")[2]: row for name, row in entries.items()}
    by_image: dict[str, list[dict[str, Any]]] = {}
    for row in sections["annotations"]:
        by_image.setdefault(str(row.get("image_id")), []).append(row)

    def read_boxes(picture: Path, height: int, width: int) -> Iterator[Labelled | Problem]:
        relative = picture.relative_to(images).as_posix() if images.is_dir() else picture.name
        entry = entries.get(relative, by_name.get(picture.name))
        if entry is None:
            yield Problem(file, None, f"no entry among its images for {relative}")
            return
        try:
            _check_size(entry.get("width"), entry.get("height"), height, width)
        except ValueError as error:
            yield Problem(file, None, f"image {picture.name}: {error}")
            return
        for row in by_image.get(str(entry.get("id")), ()):
            if row.get("iscrowd"):
                continue  # the box of a whole crowd, not of one object
            try:
                yield _coco_box(row, names, height, width)
            except ValueError as error:
                yield Problem(file, None, f"annotation id {shorten(row.get('id'))} of {picture.name}: {error}")

    return read_boxes


def _coco_box(row: Mapping[str, Any], names: Mapping[str, Any], height: int, width: int) -> Labelled:
    bbox = row.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox={shorten(bbox)}: expected [x, y, width, height]")
    label = names.get(str(row.get("category_id")))
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"category id {shorten(row.get('category_id'))} has no name among the categories")
    x, y, box_width, box_height = map(_number, bbox)
    return _labelled((x, y, x + box_width, y + box_height), label.strip(), height, width)


def _voc_reader(boxes: Path, images: Path) -> BoxReader:
    def read_boxes(picture: Path, height: int, width: int) -> Iterator[Labelled | Problem]:
        path = _label_file(boxes, images, picture, ".xml")
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
                _check_size(_optional(size, "width"), _optional(size, "height"), height, width)
            except ValueError as error:
                yield Problem(path, lines[size], str(error))
                return
        for element in tree.iter("object"):
            line = lines[element]
            try:
                yield _voc_box(element, height, width)
            except ValueError as error:
                yield Problem(path, line, str(error))

    return read_boxes


def _voc_box(element: ElementTree.Element, height: int, width: int) -> Labelled:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise ValueError("an <object> without a <name>")
    bndbox = element.find("bndbox")
    if bndbox is None:
        raise ValueError("an <object> without a <bndbox>")
    # The numbers are taken as corners, as the tools that write VOC files today mean them (LabelImg, CVAT, Roboflow)
    # and as Albumentations reads them. The 1-based inclusive pixels of the original challenge differ by one pixel
    # on the left and at the top.
    x0, y0, x1, y1 = (_number(_optional(bndbox, name)) for name in ("xmin", "ymin", "xmax", "ymax"))
    return _labelled((x0, y0, x1, y1), label, height, width)


def _optional(element: ElementTree.Element, name: str) -> str | None:
    text = element.findtext(name)
    return text.strip() if text else None


def _labelled(corners: Corners, label: str, height: int, width: int) -> Labelled:
    x0, y0, x1, y1 = corners
    shown = ", ".join(f"{corner:.6g}" for corner in corners)
    if not all(map(math.isfinite, corners)):
        raise ValueError(f"box ({shown}) has a coordinate that is not finite")
    if x1 < x0 or y1 < y0:
        raise ValueError(f"box ({shown}) is inverted or has a negative side")
    if min(x0, y0) < -1 or x1 > width + 1 or y1 > height + 1:
        raise ValueError(f"box ({shown}) in pixels reaches outside the picture of {width}x{height}")
    clipped = (min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height))
    return from_pixels([corners], height, width)[0], label, clipped


def _number(value: object) -> float:
    if value is None:
        raise ValueError("a coordinate is missing")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{shorten(value)} is not a number")


def _check_size(width: object, height: object, picture_height: int, picture_width: int) -> None:
    """Refuse boxes that were drawn on another size of the picture; a missing or zero size says nothing."""
    stated = [_number(side) for side in (width, height) if side]
    if len(stated) == 2 and all(stated) and stated != [picture_width, picture_height]:
        stated_size = f"{stated[0]:g}x{stated[1]:g}"
        raise ValueError(f"written for {stated_size} pixels, but the picture is {picture_width}x{picture_height}")


def _label_file(boxes: Path, images: Path, picture: Path, suffix: str) -> Path:
    if not boxes.is_dir():
        return boxes
    relative = picture.relative_to(images) if images.is_dir() else Path(picture.name)
    return boxes / relative.with_suffix(suffix)
