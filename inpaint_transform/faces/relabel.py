"""Relabelling, for both faces: which boxes get a new label, what their other fields become, and what cannot be done.

Only edits whose pixels were accepted come here, and a rejected swap keeps its label. How a framework holds labels, and
what it can hold, is in ``albumentations_labels`` and ``torchvision_labels``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import ClassNames, Label, lookup
from inpaint_transform.core.vocabulary import synonyms


def check_relabel(labelled: bool, frames: int, mend: str) -> None:
    """Refuse a sample in which new labels would have no place, before anything is painted.

    Args:
        labelled: Whether the sample has labels.
        frames: How many pictures it has.
        mend: What to give to the face for it to find labels.

    Raises:
        ValueError: There are no labels, or several pictures that share them.
    """
    if not labelled:
        raise ValueError(f"relabel writes new labels, but the sample has none; give {mend}")
    if frames > 1:
        raise ValueError("relabel needs a single image: of several, some may be accepted and others not")


def check_linked(fields: Iterable[str], field: str | None, linked: Mapping[str, Any]) -> None:
    """Refuse a swap that would leave another field with the old class, unnoticed.

    Args:
        fields: The label fields of ``BboxParams``.
        field: The one that names the class.
        linked: ``linked_fields``.

    Raises:
        ValueError: A label field is neither the class nor in ``linked``.
    """
    for other in fields:
        if other != field and other not in linked:
            raise ValueError(
                f"relabel rewrites {field!r}, but BboxParams has the label field {other!r} too: give "
                f"linked_fields={{{other!r}: {{label: value}}}} if it follows from the class, or "
                f"linked_fields={{{other!r}: None}} if it does not. If it holds positions in a list of classes that "
                f"the caller keeps, as Ultralytics does, the new labels do not reach that list: swap on disk, with "
                f"inpaint-transform export --swap"
            )


def new_labels(accepted: Iterable[tuple[Edit, int]]) -> dict[int, Label]:
    """The new label of each box that was painted as another class.

    Args:
        accepted: The edits that are in the picture, each with the position of its box.
    """
    return {position: edit.new_label for edit, position in accepted if edit.new_label is not None}


def linked_values(
    changes: Mapping[int, Label], fields: Iterable[str], linked: Mapping[str, Any], class_names: ClassNames = None
) -> dict[str, dict[int, Any]]:
    """What other fields of the boxes become with their new labels, by field and position.

    Args:
        changes: New label by position.
        fields: The fields that the sample has.
        linked: ``linked_fields``: their values by label; None for a field that does not follow from the class.
        class_names: What else the classes are called.

    Raises:
        ValueError: ``linked_fields`` has no value for a label.
    """
    return {
        field: {position: linked_value(linked, field, label, class_names) for position, label in changes.items()}
        for field in fields
        if linked.get(field) is not None
    }


def linked_value(linked: Mapping[str, Any], field: str, label: Label, class_names: ClassNames = None) -> Any:
    """What another field of a box becomes with its new label, by whichever name ``linked_fields`` calls the class.

    Raises:
        ValueError: ``linked_fields`` does not say.
    """
    values = (lookup(linked[field], name) for name in synonyms(label, class_names))
    value = next((value for value in values if value is not None), None)
    if value is None:
        raise ValueError(f"linked_fields={{{field!r}: {linked[field]!r}}} has no value for the label {label!r}; add it")
    return value
