"""Labels of torchvision samples: read as plain values, and written back into what they came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inpaint_transform.faces.torchvision_labels import read, written

CONTAINERS = [
    [3, 5],
    (3, 5),
    np.array([3, 5]),
    np.array([3, 5], np.float32),
    torch.tensor([3, 5]),
    torch.tensor([3.0, 5.0]),
    [torch.tensor(3), torch.tensor(5)],
    [np.int64(3), np.int64(5)],
]


@pytest.mark.parametrize("values", CONTAINERS, ids=lambda values: f"{type(values).__name__} of {type(values[0])}")
def test_ids_are_read_and_written_in_their_own_container(values: Any) -> None:
    assert read(values, 2) == [3, 5]
    assert all(type(label) is int for label in read(values, 2))
    changed = written(values, {1: 7})
    assert read(changed, 2) == [3, 7]
    assert type(changed) is type(values)
    assert getattr(changed, "dtype", None) == getattr(values, "dtype", None)
    assert read(values, 2) == [3, 5]


@pytest.mark.parametrize("values", [["car", "bus"], ("car", "bus"), np.array(["car", "bus"])])
def test_a_longer_name_is_not_cut_off(values: Any) -> None:
    assert read(written(values, {0: "fire engine"}), 2) == ["fire engine", "bus"]


@pytest.mark.parametrize(
    ("values", "value"),
    [
        (torch.tensor([1, 2]), 0.5),
        (torch.tensor([1, 2], dtype=torch.uint8), 300),
        (torch.tensor([1, 2]), "car"),
        (np.array([1, 2], np.int8), 300),
        (np.array([1, 2]), "car"),
        (["car", "bus"], 3),
        ([1, 2], "car"),
    ],
)
def test_a_value_that_its_container_cannot_hold_is_refused(values: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="cannot hold; give a value that they can"):
        written(values, {0: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["car"], "1 labels for 2 boxes"),
        (torch.tensor(3), "the labels are"),
        ("car", "the labels are 'car'"),
        ([None, "car"], "label None is neither a name nor an id"),
        ([["car"], ["bus"]], "is neither a name nor an id"),
    ],
)
def test_what_are_no_labels_is_named(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(values, 2)
