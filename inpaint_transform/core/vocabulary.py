"""Names and ids of the classes: settings may speak of either, whatever a sample's labels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from inpaint_transform.core.labels import ClassNames, Label
from inpaint_transform.core.nearest import nearest
from inpaint_transform.core.swaps import Swap


def are_numbers(labels: Iterable[Label]) -> bool | None:
    """Whether all labels are ids; False where all are names, None where it is neither or there are none."""
    kinds = {type(label) in (int, float) if not isinstance(label, str) else False for label in labels}
    if any(label is None or isinstance(label, bool) for label in labels):
        return None
    return kinds.pop() if len(kinds) == 1 else None


def synonyms(label: Label, class_names: ClassNames) -> list[Label]:
    """A label, and what else ``class_names`` calls its class: its name, or its ids."""
    names = _by_label(class_names)
    found = [name for known, name in names.items() if _same(known, label)]
    return [label, *found, *(known for known, name in names.items() if name == label)]


def spoken(argument: str, given: Label, class_names: ClassNames, numbers: bool) -> list[Label]:
    """A class that a setting speaks of, as samples call it.

    Args:
        argument: The setting, for the message.
        given: A name or an id.
        class_names: Id or name to noun, or a list indexed by id.
        numbers: Whether samples have ids rather than names.

    Returns:
        The label; several where ``class_names`` gives one name to several ids.

    Raises:
        ValueError: There is no such class.
    """
    found: list[Any]
    if numbers:
        names = _by_label(class_names)
        if isinstance(given, str) and given.lstrip("-").isdecimal():
            given = int(given)  # JSON turns the integer keys of a mapping into strings
        if not isinstance(given, str) and (class_names is None or any(_same(known, given) for known in names)):
            return [given]
        if class_names is None:
            raise ValueError(
                f"{argument} has {given!r}, but the labels are numbers; give class_names={{id: name, ...}}, or the id"
            )
        ids = [known for known, name in names.items() if name == given]
        found = [int(known) for known in ids if not _is_word(known)] or [known for known in names if known == given]
    else:
        if class_names is None:
            if isinstance(given, str):
                return [given]
            raise ValueError(f"{argument} has {given!r}, but the labels are names; give the name")
        names = _by_label(class_names)
        if isinstance(given, str) and not _is_word(given) and given not in (*names, *names.values()):
            given = int(given)  # as above
        words = {known: name for known, name in names.items() if _is_word(known)}
        if isinstance(given, str) and (given in words or (given in names.values() and not words)):
            found = [given]
        elif words:
            meant = {given, *(name for known, name in names.items() if _same(known, given))}
            found = [known for known, name in words.items() if name in meant]
        else:  # all are ids, and so the names are the labels
            found = [name for known, name in names.items() if _same(known, given)]
    if not found:
        known = [str(name) for name in _by_label(class_names).values()]
        raise ValueError(f"{argument} has {given!r}, which is none of class_names{nearest(str(given), known)}")
    return list(dict.fromkeys(found))


def spoken_keys(
    argument: str, mapping: Mapping[Any, Any], class_names: ClassNames, numbers: bool, strict: bool = True
) -> dict[Any, Any]:
    """A mapping by class with its keys as samples call the classes; what is given as they do wins.

    Args:
        argument: The setting, for the message.
        mapping: By name or id.
        class_names: As in ``spoken``.
        numbers: As in ``spoken``.
        strict: Whether a class that does not exist is refused, rather than kept as it is.
    """
    result: dict[Any, Any] = {}
    for key, value in mapping.items():
        try:
            labels = spoken(argument, key, class_names, numbers)
        except ValueError:
            if strict:
                raise
            labels = [key]
        for label in labels:
            if label == key or label not in result:
                result[label] = value
    return result


def spoken_swap(swap: Swap, class_names: ClassNames, numbers: bool) -> Swap:
    """A swap with its classes as samples call them."""
    targets: dict[Any, Any] = {}
    for source, given in spoken_keys("relabel", swap.targets, class_names, numbers).items():
        weights = given if isinstance(given, Mapping) else dict.fromkeys(_listed(given), 1.0)
        targets[source] = {
            label: weight
            for target, weight in weights.items()
            for label in spoken("relabel", target, class_names, numbers)[:1]
        }
    sizes = spoken_keys("sizes", swap.sizes, class_names, numbers, strict=False)
    return dataclasses.replace(swap, targets=targets, sizes=sizes)


def check_case(given: Mapping[str, Collection[Any]], labels: Iterable[Label]) -> None:
    """Refuse a setting that differs from a label by capitals alone, and would be no setting at all.

    Args:
        given: The classes that settings speak of, by setting.
        labels: A sample's labels.

    Raises:
        ValueError: There is one.
    """
    spoken_labels = {label for label in labels if isinstance(label, str)}
    for argument, words in given.items():
        unknown = [label for label in spoken_labels if label not in words]
        folded = {word.casefold(): word for word in words if isinstance(word, str)} if unknown and words else {}
        for label in unknown:
            if label.casefold() in folded:
                raise ValueError(
                    f"{argument} has {folded[label.casefold()]!r}, but a label is {label!r}; write it as the labels are"
                )


def _by_label(class_names: ClassNames) -> dict[Any, str]:
    if class_names is None:
        return {}
    return dict(class_names) if isinstance(class_names, Mapping) else dict(enumerate(class_names))


def _same(known: Any, label: Label) -> bool:
    """Whether a key of ``class_names`` is a label, which JSON may have made a string."""
    return known == label or (isinstance(known, str) and not isinstance(label, str) and known == str(label))


def _is_word(known: Any) -> bool:
    return isinstance(known, str) and not known.lstrip("-").isdecimal()


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
