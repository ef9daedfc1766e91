"""Prompts: from a label and lists of words to the sentence that the model paints.

A prompt is a string with the slots ``{label}`` and ``{a_label}`` ("cup" and "a cup", "ace" and "an ace") and free
``{attribute}`` slots, a list of such strings (one is drawn), or a mapping from label to either. Values for the free
slots come from ``attributes`` and from the sample itself.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inpaint_transform.core.labels import NO_LABELS, ClassNames, Label, called, lookup, noun

PromptFunction = Callable[[Label, Mapping[str, str], random.Random], str]
Prompts = str | Sequence[str] | Mapping[Any, str | Sequence[str]] | PromptFunction

LABEL_SLOTS = ("label", "a_label")
# Where the letters of a word mislead: "an hour" and "a unicorn".
_AN = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
_A = re.compile(r"(uni([^mn]|$)|us[aeiu]|uk[aeu]|ut[ei]|ur[ai]|ubi|eu|ew|one\b|once\b|ouija)", re.IGNORECASE)
# Numbers whose names begin with a vowel: 8 and 80, 11 and 18.
_AN_NUMBER = re.compile(r"8|1[18](?![0-9])")
# An abbreviation is read letter by letter, and these letters' names begin with a vowel: an RBC, an X-ray.
_AN_LETTERS = "AEFHILMNORSX"


def with_article(noun: str) -> str:
    """A noun with "a" or "an" before it, by its sound as far as its letters tell.

    Examples:
        >>> [with_article(noun) for noun in ("cup", "ace", "hourglass", "unicorn", "RBC", "X-ray", "8-ball")]
        ['a cup', 'an ace', 'an hourglass', 'a unicorn', 'an RBC', 'an X-ray', 'an 8-ball']
    """
    word = re.split(r"[\W_]", noun.strip(), maxsplit=1)[0]
    if word[:1].isdecimal():
        vowel = bool(_AN_NUMBER.match(word))
    elif word.isupper() and (len(word) == 1 or not set(word) & set("AEIOUY")):
        vowel = word[0] in _AN_LETTERS
    else:
        vowel = bool(_AN.match(word)) or (word[:1].lower() in set("aeiou") and not _A.match(word))
    return f"{'an' if vowel else 'a'} {noun}"


def label_slots(noun: str) -> dict[str, str]:
    """What the ``LABEL_SLOTS`` are filled with for a noun."""
    return {"label": noun, "a_label": with_article(noun)}


def slots_of(template: str) -> list[str]:
    """The slot names of one prompt.

    Raises:
        ValueError: The braces do not match, or a slot is not a plain name.
    """
    try:
        parsed = [
            (field, bool(specification or conversion))
            for _, field, specification, conversion in string.Formatter().parse(template)
            if field is not None
        ]
    except ValueError as error:
        raise ValueError(f"prompts={template!r}: {error}; write {{{{ and }}}} for literal braces") from None
    for field, formatted in parsed:
        if formatted or not field.isidentifier():
            raise ValueError(
                f"prompts={template!r}: {{{field}}} is not a plain slot such as {{label}}, without a format"
            )
    return [field for field, _ in parsed]


def templates_of(prompts: Prompts, label: Label, class_names: ClassNames = None, source: Label = None) -> Sequence[str]:
    """The templates that apply to a label.

    Args:
        prompts: What the user gave.
        label: The class that is painted.
        class_names: How an error calls the classes.
        source: The label of the box, where a swap may make another of it; None where it is not known.

    Raises:
        ValueError: ``prompts`` is a mapping that does not know the label.
    """
    if isinstance(prompts, Mapping):
        found = lookup(prompts, label)
        if found is None and label is None:
            raise ValueError(f"prompts are by label, but {NO_LABELS}")
        if found is None:
            missing = f"prompts has no entry for label {called(label, class_names)}"
            knows = f"it knows {', '.join(called(key, class_names) for key in prompts)}"
            if source is not None and source != label:
                raise ValueError(
                    f"{missing}, which is what relabel makes of label {called(source, class_names)}; {knows}. Add a "
                    f"prompt for label {called(label, class_names)}, or take it out of relabel"
                )
            raise ValueError(f"{missing}; {knows}. Add one, or leave the label out with exclude_labels=[{label!r}]")
        prompts = found
    return [prompts] if isinstance(prompts, str) else list(prompts)  # type: ignore[arg-type] # callables never get here


def check_label(prompts: Prompts, label: Label, class_names: ClassNames, source: Label = None) -> None:
    """Refuse a label for which no prompt could be drawn; what a function makes of it cannot be known.

    Args:
        prompts: What the user gave.
        label: The class that is painted.
        class_names: How to turn the label into a noun.
        source: As of ``templates_of``.

    Raises:
        ValueError: There is no prompt for it, or no word where the prompt needs one.
    """
    if callable(prompts):
        return
    if any(
        set(LABEL_SLOTS) & set(slots_of(template)) for template in templates_of(prompts, label, class_names, source)
    ):
        noun(label, class_names)


def check(prompts: Prompts, attributes: Mapping[str, Sequence[str]], sample_slots: bool) -> None:
    """Refuse prompts that could never be filled, as early as possible.

    Args:
        prompts: What the user gave.
        attributes: Slot name to values.
        sample_slots: Whether samples may bring slots of their own, so that unknown names can only be checked later.

    Raises:
        ValueError: No prompt at all, an empty list, a broken template or a slot that nothing fills.
    """
    for name, values in attributes.items():
        if isinstance(values, str) or not values:
            raise ValueError(f"attributes={{{name!r}: {values!r}}}: give a list with at least one value")
    if callable(prompts):
        return
    groups = list(prompts.values()) if isinstance(prompts, Mapping) else [prompts]
    if not groups or not all(groups):
        raise ValueError(f"prompts={prompts!r}: give at least one prompt")
    for group in groups:
        for template in [group] if not isinstance(group, Sequence) or isinstance(group, str) else group:
            if not isinstance(template, str):
                raise ValueError(f"prompts={prompts!r}: {template!r} is not a string")
            for slot in slots_of(template):
                if slot not in LABEL_SLOTS and slot not in attributes and not sample_slots:
                    raise ValueError(
                        f"prompts={template!r}: nothing fills {{{slot}}}; give attributes={{{slot!r}: [...]}}, or "
                        f"prompt_key to read slots from the sample"
                    )


def draw(
    prompts: Prompts,
    label: Label,
    rng: random.Random,
    *,
    attributes: Mapping[str, Sequence[str]],
    class_names: ClassNames,
    slots: Mapping[str, str | Sequence[str]],
) -> str:
    """Draw the prompt for one edit.

    Args:
        prompts: Templates, see the module.
        label: The label of the object to paint.
        rng: Source of the draws.
        attributes: Slot name to values; one value is drawn.
        class_names: How to turn the label into a noun.
        slots: The sample's own slot values (a string, or a list to draw from); they win over ``attributes``.

    Returns:
        The filled prompt.

    Raises:
        ValueError: Unknown label, a slot that nothing fills, or a slot value of the sample that is not words.
    """
    for name, value in slots.items():
        if not isinstance(value, str) and not (isinstance(value, Sequence) and value):
            raise ValueError(f"the sample's slot {name!r} is {value!r}; give a string or a list with at least one")
    values = {**attributes, **slots}
    if callable(prompts):
        said = prompts(label, {name: _pick(value, rng) for name, value in values.items()}, rng)
        if not isinstance(said, str):
            raise ValueError(f"prompts={prompts!r} returned {said!r} for label {label!r}; return a string")
        return said
    template = _pick(templates_of(prompts, label, class_names), rng)
    filled = {}
    for slot in slots_of(template):
        if slot in filled:
            continue
        if slot in LABEL_SLOTS:
            filled[slot] = label_slots(noun(label, class_names))[slot]
        elif slot in values:
            filled[slot] = _pick(values[slot], rng)
        else:
            raise ValueError(f"prompts={template!r}: nothing fills {{{slot}}} for this sample; it brings {list(slots)}")
    return template.format(**filled)


def _pick(value: str | Sequence[str], rng: random.Random) -> str:
    return value if isinstance(value, str) else rng.choice(list(value))
