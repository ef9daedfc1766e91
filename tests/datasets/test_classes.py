"""Classes: their numbers in what is written, and their boxes for counting."""

from __future__ import annotations

from pathlib import Path

import pytest

from inpaint_transform.datasets.classes import ids_of, labelled_boxes, number_classes
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import Annotation, BoxFormat
from inpaint_transform.swaps import class_counts, class_sizes

YOLO, COCO, VOC = BoxFormat.YOLO, BoxFormat.COCO, BoxFormat.VOC


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        (COCO, COCO, {3: "cone", 7: "cube", 8: "ball"}),
        (COCO, YOLO, {0: "cone", 1: "cube", 2: "ball"}),
        (YOLO, COCO, {1: "cone", 2: "cube", 3: "ball"}),
        (VOC, VOC, {0: "cone", 1: "cube", 2: "ball"}),
    ],
)
def test_numbers_are_kept_where_the_format_allows(source: BoxFormat, to: BoxFormat, expected: dict[int, str]) -> None:
    assert number_classes([{3: "cone"}, {7: "cube", 3: "cone"}], ["ball", "cone"], source, to) == expected


def test_contradictions_and_unwritable_names_are_refused() -> None:
    with pytest.raises(ValueError, match="class id 1 is 'cone' in one label file and 'cube' in another"):
        number_classes([{1: "cone"}, {1: "cube"}], [], YOLO, YOLO)
    with pytest.raises(ValueError, match="characters"):
        number_classes([], ["co\nne"], VOC, YOLO)
    with pytest.raises(ValueError, match="no label file has a class"):
        number_classes([], [], VOC, YOLO)
    assert ids_of({0: "cone", 1: "cube", 2: "cone"}) == {"cone": 0, "cube": 1}


def test_boxes_are_counted_by_class_and_problems_are_not() -> None:
    found = [
        Annotation(Path("a.png"), ((0, 0, 10, 10), (0, 0, 30, 30)), ("cone", "cube")),
        Problem(Path("b.png"), None, "broken"),
        Annotation(Path("c.png"), ((0, 0, 20, 20),), ("cone",)),
    ]
    assert class_counts(labelled_boxes(found)) == {"cone": 2, "cube": 1}
    assert class_sizes(labelled_boxes(found)) == {"cone": 15.0, "cube": 30.0}
