"""Nested samples: labels are found beside the boxes first, and what does not change is shared."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.faces.nested import containers, find_field, find_labels, find_mapping, holds, mapped, replaced

BOXES = np.zeros((2, 4))
NAMES = ["car", "bus"]
Pair = namedtuple("Pair", "image target")

samples = st.recursive(
    st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner).map(lambda both: Pair(*both))
    ),
    max_leaves=8,
)


def leaves(sample: Any) -> list[Any]:
    if not isinstance(sample, dict | list | tuple):
        return [sample]
    return [leaf for value in (sample.values() if isinstance(sample, dict) else sample) for leaf in leaves(value)]


@given(samples, st.data())
def test_one_thing_is_replaced_wherever_it_is_and_the_rest_is_the_same(sample: Any, data: st.DataObject) -> None:
    before = leaves(sample)
    new = object()
    if not before:
        assert replaced(sample, object(), new) is sample
        return
    old = data.draw(st.sampled_from(before))
    changed = replaced(sample, old, new)
    assert type(changed) is type(sample) or sample is old
    assert [new if leaf is old else leaf for leaf in before] == leaves(changed)
    assert holds(changed, new)
    assert not holds(changed, old)
    assert replaced(changed, old, new) is changed


@given(samples)
def test_every_container_is_met_once(sample: Any) -> None:
    found = list(containers(sample))
    assert len({id(each) for each in found if each != ()}) == len([each for each in found if each != ()])
    assert all(isinstance(each, dict | list | tuple) for each in found)


def test_dicts_keep_their_kind_and_order() -> None:
    sample = OrderedDict(b=1, a=2)
    changed = mapped(sample, lambda value: value + 1)
    assert (type(changed), list(changed.items()), dict(sample)) == (OrderedDict, [("b", 2), ("a", 3)], {"b": 1, "a": 2})


@pytest.mark.parametrize(
    "sample",
    [
        {"boxes": BOXES, "labels": NAMES},
        {"boxes": BOXES, "category_id": NAMES, "object_labels": ["x", "y"]},
        {"boxes": BOXES, "object_categories": NAMES},
        {"labels": ["far", "away"], "target": {"boxes": BOXES, "label": NAMES}},
        [{"labels": ["far", "away"]}, Pair(None, {"boxes": BOXES, "labels": NAMES})],
        {"labels": NAMES, "target": {"boxes": BOXES}},
        (object(), BOXES, NAMES),
        (object(), {"labels": "of the picture"}, [BOXES, NAMES]),
    ],
)
def test_labels_are_found_near_the_boxes(sample: Any) -> None:
    assert find_labels(sample, BOXES, None) is NAMES


@pytest.mark.parametrize(
    "sample",
    [
        {"boxes": BOXES},
        {"boxes": BOXES, "label": "car"},
        {"boxes": BOXES, "some_labels": ["one"]},
        (object(), BOXES, ["one"]),
        (object(), BOXES, [0.5, 0.25]),
        {"boxes": BOXES, "labels": torch.tensor(3)},
    ],
)
def test_what_is_no_label_a_box_is_not_taken_for_it(sample: Any) -> None:
    assert find_labels(sample, BOXES, None) is None


def test_a_named_field_counts_and_a_missing_one_is_named() -> None:
    sample = {"kind": ["far"], "target": {"boxes": BOXES, "kind": NAMES, "labels": [1, 2]}}
    assert find_labels(sample, BOXES, "kind") is NAMES
    assert find_field(sample, BOXES, "kind") is NAMES
    assert find_field(sample, BOXES, "colour") is None
    assert find_mapping(sample, "labels") is sample["target"]
    assert find_mapping(sample, "colour") == {}
    with pytest.raises(ValueError, match=r"label_field='colour' is not a key of the sample; it has \['boxes', 'kind'"):
        find_labels(sample, BOXES, "colour")
