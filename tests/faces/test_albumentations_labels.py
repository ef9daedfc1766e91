"""Label columns: values are read as the user gave them, and written so that the Compose gives them back."""

from __future__ import annotations

import warnings
from typing import Any

import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform import BBoxInpaint
from inpaint_transform.faces.albumentations_labels import MAX_WHOLE, LabelColumns

BOXES = np.array([[10, 10, 40, 50], [30, 20, 70, 60], [5, 5, 20, 20]], np.float32)


class Sample:
    """What a Compose hands to its transforms, and what it makes of that again."""

    def __init__(self, **fields: Any) -> None:
        params = A.BboxParams("pascal_voc", label_fields=list(fields))
        self.processor = A.Compose([A.NoOp()], bbox_params=params).processors["bboxes"]
        self.data = {"image": np.zeros((80, 90, 3), np.uint8), "bboxes": BOXES.copy(), **fields}
        self.processor.preprocess(self.data)

    @property
    def rows(self) -> np.ndarray:
        return self.data["bboxes"]

    def columns(self, field: str | None = None) -> LabelColumns:
        return LabelColumns(self.processor, field)

    def given_back(self, field: str) -> Any:
        return self.processor.postprocess(self.data)[field]


# A Compose loses the zeros that a text ends in, with or without this transform, as any array of strings does.
names, numbers = st.text(max_size=8).map(lambda text: text.rstrip("\0")), st.integers(-MAX_WHOLE, MAX_WHOLE)


@settings(deadline=None, max_examples=60)
@given(st.one_of(*(st.lists(values, min_size=4, max_size=4) for values in (names, numbers))), st.booleans())
def test_what_is_written_comes_back_from_the_compose(values: list[Any], array: bool) -> None:
    *labels, new = values
    sample = Sample(labels=np.array(labels) if array else labels)
    columns = sample.columns()
    assert columns.read(sample.rows) == labels
    columns.write(sample.rows, "labels", {1: new})
    expected = [labels[0], new, labels[2]]
    assert columns.read(sample.rows) == expected
    assert list(sample.given_back("labels")) == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [(["iscrowd", "category_id"], "category_id"), (["category_id", "labels"], "labels"), (["kind"], "kind")],
)
def test_of_several_fields_the_one_that_is_called_so_names_the_class(fields: list[str], field: str) -> None:
    columns = Sample(**{name: [1, 2, 3] for name in fields}).columns()
    assert (columns.field, columns.doubt) == (field, None)


@pytest.mark.parametrize("fields", [["kind", "size"], ["class_name", "category_id"]])
def test_where_names_do_not_tell_the_class_it_is_said_once_which_field_is_taken(fields: list[str]) -> None:
    params = A.BboxParams("pascal_voc", label_fields=fields)
    transform = A.Compose([BBoxInpaint(prompts="a thing", p=1e-9)], bbox_params=params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            transform(image=np.zeros((80, 90, 3), np.uint8), bboxes=BOXES, **{name: [1, 2, 3] for name in fields})
    [said] = [str(one.message) for one in caught]
    assert said.startswith(f"BboxParams has the label fields {fields}, and '{fields[0]}' is taken for the class; ")


def test_the_first_field_names_the_class_unless_another_is_asked_for() -> None:
    sample = Sample(kind=["car", "bus", "car"], id=[3, 4, 5])
    assert sample.columns().field == "kind"
    assert sample.columns("id").read(sample.rows) == [3, 4, 5]
    assert sample.columns().values(sample.rows, "id") == [3, 4, 5]
    with pytest.raises(ValueError, match=r"label_field='x' is not one of BboxParams\(label_fields=\['kind', 'id'\]\)"):
        sample.columns("x")
    with pytest.raises(ValueError, match="'x' is not one of"):
        sample.columns().values(sample.rows, "x")


def test_without_a_compose_or_boxes_there_are_no_labels() -> None:
    assert LabelColumns(None, None).read(BOXES) is None
    assert Sample(labels=["a", "b", "c"]).columns().read(np.empty((0, 5))) is None


@pytest.mark.parametrize(
    ("labels", "value", "message"),
    [
        (["a", "b", "c"], 3, "holds strings; give a string"),
        ([1, 2, 3], "a", "holds numbers; give a number that fits"),
        (np.array([1, 2, 3], np.uint8), 300, "holds numbers of uint8"),
        ([1, 2, 3], MAX_WHOLE + 1, "give a number that fits"),
    ],
)
def test_a_value_that_the_field_cannot_hold_is_refused(labels: Any, value: Any, message: str) -> None:
    sample = Sample(labels=labels)
    with pytest.raises(ValueError, match=message):
        sample.columns().write(sample.rows, "labels", {0: value})


def test_numbers_that_float32_changes_are_found() -> None:
    sample = Sample(labels=["a", "b", "c"], small=[1, 2, MAX_WHOLE - 1], large=[1, 2, MAX_WHOLE])
    assert sample.columns().too_large(sample.rows) == ["large"]
