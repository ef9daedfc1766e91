"""The labels of a torchvision sample: one a box, in a list, a tuple, an array or a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from inpaint_transform.core.labels import Label, plain_label


def read(values: Any, count: int) -> list[Label]:
    """The labels as plain Python values.

    Args:
        values: A list or tuple of names, ids or scalar tensors, or a tensor or array of one dimension.
        count: How many boxes there are.

    Raises:
        ValueError: Not one name or id a box.
    """
    plain = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(plain, list | tuple):
        raise ValueError(f"the labels are {values!r}; give a list or a tensor with one label a box")
    labels = [plain_label(value.item() if isinstance(value, torch.Tensor) else value) for value in plain]
    if len(labels) != count:
        raise ValueError(f"the sample has {len(labels)} labels for {count} boxes; give one label a box")
    for label in labels:
        if not isinstance(label, str | int | float):
            raise ValueError(f"label {label!r} is neither a name nor an id; give one of these for each box")
    return labels


def written(values: Any, changes: Mapping[int, Any]) -> Any:
    """A copy with new values, of the same type.

    Args:
        values: As for ``read``.
        changes: New value by position.

    Raises:
        ValueError: The container cannot hold a new value.
    """
    for position, value in changes.items():
        if not _holds(values, position, value):
            kind = getattr(values, "dtype", type(values).__name__)
            raise ValueError(f"relabel gives {value!r}, which labels of {kind} cannot hold; give a value that they can")
    result: Any
    if isinstance(values, torch.Tensor):
        result = values.clone()
    elif isinstance(values, np.ndarray):
        # An array of strings has the length of its longest: a new label would come back cut off.
        longest = [np.asarray(value) for value in changes.values()] if values.dtype.kind == "U" else []
        result = values.astype(np.result_type(values, *longest))
    else:
        result = list(values)
    for position, value in changes.items():
        old = result[position]
        result[position] = old.new_tensor(value) if isinstance(old, torch.Tensor) else value
    return tuple(result) if isinstance(values, tuple) else result


def _holds(values: Any, position: int, value: Any) -> bool:
    """Whether a container can hold a value where it holds another now."""
    old = values[position]
    try:
        if isinstance(old, torch.Tensor):
            return bool(old.new_tensor(value).item() == value)
        if isinstance(old, np.generic) and not isinstance(old, str):
            return bool(old.dtype.type(value).item() == value)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        return False
    return isinstance(old, str) == isinstance(value, str)
