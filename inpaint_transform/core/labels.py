"""Labels: class names and ids, looked up, named and read."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Label = str | int | float | bool | None
ClassNames = Mapping[Any, str] | Sequence[str] | None
NO_LABELS = (
    "the sample has no labels; give BboxParams(label_fields=[...]), or with torchvision label_field or labels_getter"
)


def check_class_names(given: Any) -> None:
    """Refuse what is no ``class_names``: a text would be read letter by letter, and an id painted as a noun.

    Args:
        given: What a user gave as ``class_names``.

    Raises:
        ValueError: It is neither names by id, nor a list of names, nor None.
    """
    if given is None:
        return
    said = f"class_names={reprlib.repr(given)}"
    if isinstance(given, str):
        names = [name.strip() for name in given.split(",")]
        raise ValueError(f"{said} is one text; give a list for ids from 0 on, {reprlib.repr(names)}, or {{id: name}}")
    if not isinstance(given, Mapping | Sequence):
        raise ValueError(f"{said}: give {{id: name, ...}}, or a list of names for ids from 0 on")
    names = list(given.values() if isinstance(given, Mapping) else given)
    wrong = [name for name in names if not isinstance(name, str)]
    if not wrong:
        return
    if isinstance(given, Mapping) and all(isinstance(key, str) for key in given) and len(wrong) == len(names):
        key, number = next(iter(given.items()))
        raise ValueError(f"{said} gives ids by name; turn it round, names by id: {{{number!r}: {key!r}, ...}}")
    raise ValueError(f"{said} calls a class {wrong[0]!r}, which is no text; give a name for every class")


def lookup(mapping: Mapping[Any, Any], label: Label) -> Any:
    """Find a label in a mapping, also when JSON has turned its integer keys into strings; None if it is not there."""
    return mapping.get(label, mapping.get(str(_whole(label))))


def noun(label: Label, class_names: ClassNames, words: bool = True) -> str:
    """The word for a label.

    Args:
        label: A class name or id; whole floats count as ids. A name that ``class_names`` gives to an id is one too.
        class_names: Id or name to noun, or a list indexed by id.
        words: Whether it has to be a word that means something; else, without ``class_names``, any label will do.

    Raises:
        ValueError: The label is missing, unknown to ``class_names``, or a bare number without ``class_names``.
    """
    if class_names is None and not words:
        return str(label)
    if label is None:
        raise ValueError(f"the prompt needs {{label}}, but {NO_LABELS}")
    if class_names is None:
        if isinstance(label, int | float) and not isinstance(label, bool):
            raise ValueError(f"label {label!r} is a number; give class_names={{{label!r}: 'noun', ...}} to name it")
        return str(label)
    if isinstance(class_names, Mapping):
        found = lookup(class_names, label)
        if found is None and label in class_names.values():
            found = label
    else:
        number = _whole(label)
        found = class_names[number] if isinstance(number, int) and 0 <= number < len(class_names) else None
        if found is None and label in class_names:
            found = str(label)
    if found is None:
        raise ValueError(_unnamed(label, class_names))
    return str(found)


def class_name(label: Label, class_names: ClassNames) -> str:
    """What people are told of a class: the name of an id that ``class_names`` knows, and of all others the label.

    Examples:
        >>> class_name(1, {1: "cone"}), class_name(7, {1: "cone"}), class_name("cone", {"cone": "traffic cone"})
        ('cone', '7', 'cone')
    """
    number = _whole(label)
    if class_names is None or isinstance(number, str) or number is None:
        return str(label)
    if isinstance(class_names, Mapping):
        found = lookup(class_names, number)
    else:
        found = class_names[number] if isinstance(number, int) and 0 <= number < len(class_names) else None
    return str(label if found is None else found)


def called(label: Label, class_names: ClassNames) -> str:
    """A label as an error speaks of it: as samples have it, and with its name where that says more.

    Examples:
        >>> called(1, {1: "cone"}), called(7, {1: "cone"}), called("cone", None)
        ("1 ('cone')", '7', "'cone'")
    """
    name = class_name(label, class_names)
    return repr(label) if name == str(label) else f"{label!r} ({name!r})"


def plain_label(value: Any) -> Label:
    """A label as a plain Python value; ids that a framework has made floats become ints again."""
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unnamed(label: Label, class_names: ClassNames) -> str:
    """What to say of a label that has no name."""
    said = f"class_names={class_names!r} has no entry for label {label!r}; add it"
    if isinstance(class_names, Mapping) or isinstance(label, str):
        return said
    # A list counts from 0. Ids that begin at 1 all have a name in it, of another class, but for the last.
    return f"{said}. A list names the ids from 0 on: where they begin at 1, as COCO's do, give {{id: name, ...}}"


def _whole(label: Label) -> Label:
    """A whole float as the id that it stands for."""
    return int(label) if isinstance(label, float) and label.is_integer() else label
