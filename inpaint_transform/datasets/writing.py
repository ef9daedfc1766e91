"""Label writers: boxes and classes as the text of YOLO, COCO and Pascal VOC label files.

The mirror of ``annotations``. YOLO and COCO keep the coordinates as they were read, to a millionth of a pixel or
better. Pascal VOC gets whole pixels, because most of its loaders read nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

import yaml  # type: ignore[import-untyped] # ships no types, and one call is not worth a stub package

from inpaint_transform.core.boxes import from_pixels
from inpaint_transform.datasets.reading import BoxFormat, Corners

# Of coordinates in pixels: what lies behind is the noise of floating point.
DECIMALS = 6


@dataclass(frozen=True)
class LabelledPicture:
    """What a label file says about one picture.

    Attributes:
        name: Its path below the folder of its split.
        height: In pixels.
        width: In pixels.
        corners: One box an object.
        labels: One class name a box.
    """

    name: PurePosixPath
    height: int
    width: int
    corners: Sequence[Corners]
    labels: Sequence[str]


def number_classes(
    declared: Iterable[Mapping[int, str]], used: Iterable[str], source: BoxFormat, to: BoxFormat
) -> dict[int, str]:
    """Give the classes the numbers that they have in the written data set.

    Numbers are kept where the format allows: YOLO counts from 0 without gaps, COCO keeps any number that a COCO file
    gave, and counts from 1 otherwise. Pascal VOC has none.

    Args:
        declared: Class id to name, as each label file declares them.
        used: The labels of all boxes.
        source: The format that was read.
        to: The format that is written.

    Raises:
        ValueError: Two files mean different classes by the same id, a class name cannot be written, or YOLO gets none.
    """
    classes: dict[int, str] = {}
    for names in declared:
        for index, name in names.items():
            if classes.setdefault(index, name) != name:
                raise ValueError(f"class id {index} is {classes[index]!r} in one label file and {name!r} in another")
    for name in sorted(set(used) - set(classes.values())):
        classes[max(classes, default=-1) + 1] = name
    unprintable = [name for name in classes.values() if not name.isprintable()]
    if unprintable:
        raise ValueError(f"class name {unprintable[0]!r} has characters that no label file should have")
    if not classes and to is BoxFormat.YOLO:
        raise ValueError("no label file has a class, and a YOLO data set needs one")
    ordered = [classes[index] for index in sorted(classes)]
    if to is BoxFormat.COCO:
        return classes if source is BoxFormat.COCO else dict(enumerate(ordered, start=1))
    return dict(enumerate(ordered))


def ids_of(classes: Mapping[int, str]) -> dict[str, int]:
    """Class name to id; the smallest of several."""
    return {classes[index]: index for index in sorted(classes, reverse=True)}


def yolo_labels(picture: LabelledPicture, classes: Mapping[int, str]) -> str:
    """A picture's label file: ``class x y width height`` a line, the box's centre and sides as shares."""
    ids = ids_of(classes)
    lines = []
    for (x0, y0, x1, y1), label in zip(picture.corners, picture.labels, strict=True):
        numbers = (
            (x0 + x1) / 2 / picture.width,
            (y0 + y1) / 2 / picture.height,
            (x1 - x0) / picture.width,
            (y1 - y0) / picture.height,
        )
        lines.append(" ".join([str(ids[label]), *(f"{number:.10g}" for number in numbers)]))
    return "".join(f"{line}\n" for line in lines)


def data_yaml(classes: Mapping[int, str], folders: Mapping[str, PurePosixPath]) -> str:
    """The file that Ultralytics trains from; paths are relative to it.

    Args:
        classes: Class id to name, from 0 without gaps.
        folders: The folder of pictures of each split.
    """
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
    return "".join(notes) + text


def voc_xml(picture: LabelledPicture) -> str:
    """A picture's label file; corners are 0-based and half-open, as LabelImg, CVAT and Roboflow write them."""
    root = ElementTree.Element("annotation")
    _texts(root, folder=picture.name.parent.name, filename=picture.name.name)
    size = ElementTree.SubElement(root, "size")
    _texts(size, width=picture.width, height=picture.height, depth=3)
    boxes = from_pixels(list(picture.corners), picture.height, picture.width)
    for (x0, y0, x1, y1), label in zip(boxes, picture.labels, strict=True):
        element = ElementTree.SubElement(root, "object")
        _texts(element, name=label, pose="Unspecified", truncated=0, difficult=0)
        _texts(ElementTree.SubElement(element, "bndbox"), xmin=x0, ymin=y0, xmax=x1, ymax=y1)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _texts(parent: ElementTree.Element, **values: object) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)


def coco_json(pictures: Iterable[LabelledPicture], classes: Mapping[int, str]) -> str:
    """The label file of a split; ids count from 1 in the order of the pictures and their boxes."""
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
                    "bbox": [round(number, DECIMALS) for number in (x0, y0, width, height)],
                    "area": round(width * height, DECIMALS),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": name} for index, name in classes.items()]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})
