"""Classes: the labelled boxes of a data set, and which number each class gets in one that is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from inpaint_transform.datasets.formats.base import Annotation, BoxFormat

if TYPE_CHECKING:
    from inpaint_transform.core.boxes import Box
    from inpaint_transform.datasets.files import Problem


def labelled_boxes(found: Iterable[Annotation | Problem]) -> Iterator[tuple[str, Box]]:
    """Label and pixel box of every object that can be read, as ``class_counts`` and ``class_sizes`` take them.

    Args:
        found: What ``reading.read`` gives.

    Examples:
        >>> from pathlib import Path
        >>> from inpaint_transform.swaps import class_counts
        >>> found = [Annotation(Path("a.png"), ((0, 0, 9, 9), (4, 4, 30, 30)), ("cone", "cube"))]
        >>> class_counts(labelled_boxes(found))
        {'cone': 1, 'cube': 1}
    """
    for item in found:
        if isinstance(item, Annotation):
            yield from zip(item.labels, item.boxes, strict=True)


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
