"""Finding what belongs to the boxes in a sample of nested dicts, lists and tuples."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# The keys that detection data sets use, before any other key that speaks of labels.
LABEL_KEYS = ("labels", "label", "category_id", "category_ids")
LABEL_WORDS = ("label", "categor")

Container = Mapping[Any, Any] | Sequence[Any]


def containers(sample: Any) -> Iterator[Container]:
    """The dicts, lists and tuples of a sample, itself included, breadth first."""
    waiting = deque([sample])
    while waiting:
        value = waiting.popleft()
        if isinstance(value, Mapping | list | tuple):
            yield value
            waiting.extend(_items(value))


def find_labels(sample: Any, boxes: Any, field: str | None) -> Any:
    """Find the labels of the boxes.

    Keys beside the boxes come first, then those elsewhere in the sample: ``labels``, ``label``, ``category_id`` and
    ``category_ids``, then any other that speaks of labels or categories and has one entry a box. Last, in a list or
    tuple such as ``(image, boxes, labels)``, what has one name or id a box.

    Args:
        sample: The sample.
        boxes: The boxes in it, found by identity.
        field: The key to look for instead of all of these, or None.

    Returns:
        What was found (a tensor, an array, a list or a tuple), or None.

    Raises:
        ValueError: No dict of the sample has the key ``field``.
    """
    found = _near_first(sample, boxes)
    mappings = [container for container in found if isinstance(container, Mapping)]
    if field is not None:
        if (value := find_field(sample, boxes, field)) is not None:
            return value
        keys = sorted({str(key) for mapping in mappings for key in mapping})
        raise ValueError(f"label_field={field!r} is not a key of the sample; it has {keys}")
    for mapping in mappings:
        for key in LABEL_KEYS:
            if _is_list(mapping.get(key)):
                return mapping[key]
        for key, value in mapping.items():
            spoken = isinstance(key, str) and any(word in key.lower() for word in LABEL_WORDS)
            if spoken and _is_list(value) and len(value) == len(boxes):
                return value
    for container in found:
        if not isinstance(container, Mapping) and (container is sample or _holds(container, boxes)):
            for value in container:
                if value is not boxes and _is_list(value) and len(value) == len(boxes) and _are_names(value):
                    return value
    return None


def find_field(sample: Any, boxes: Any, field: str) -> Any:
    """The value of a key, beside the boxes before anywhere else; None where no dict of the sample has it."""
    for container in _near_first(sample, boxes):
        if isinstance(container, Mapping) and field in container:
            return container[field]
    return None


def find_mapping(sample: Any, key: str) -> Mapping[Any, Any]:
    """The first dict of a sample that has a key; an empty one where none has."""
    for container in containers(sample):
        if isinstance(container, Mapping) and key in container:
            return container
    return {}


def holds(sample: Any, value: Any) -> bool:
    """Whether an object is somewhere in a sample, or is the sample."""
    return sample is value or any(_holds(container, value) for container in containers(sample))


def replaced(sample: Any, old: Any, new: Any) -> Any:
    """A sample with one object in the place of another, found by identity; all that does not change is shared."""
    if sample is old:
        return new
    if not isinstance(sample, dict | list | tuple):
        return sample
    return mapped(sample, lambda value: replaced(value, old, new))


def mapped(container: Any, change: Callable[[Any], Any]) -> Any:
    """A dict, list or tuple with ``change`` applied to its values; itself where that gives the same objects."""
    held = list(_items(container))
    changed = [change(value) for value in held]
    if all(after is before for after, before in zip(changed, held, strict=True)):
        return container
    if isinstance(container, dict):
        result = copy.copy(container)
        result.update(zip(container, changed, strict=True))
        return result
    return type(container)(*changed) if hasattr(container, "_fields") else type(container)(changed)


def _near_first(sample: Any, boxes: Any) -> list[Container]:
    """The containers of a sample, those that hold the boxes before the others."""
    return sorted(containers(sample), key=lambda container: not _holds(container, boxes))


def _items(container: Container) -> Iterator[Any]:
    return iter(container.values() if isinstance(container, Mapping) else container)


def _holds(container: Container, value: Any) -> bool:
    return any(item is value for item in _items(container))


def _is_list(value: Any) -> bool:
    """Whether a value has one dimension: a list, a tuple, or such a tensor or array."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1


def _are_names(values: Any) -> bool:
    plain = values.tolist() if hasattr(values, "tolist") else values
    return all(isinstance(value, str | int) for value in plain)
