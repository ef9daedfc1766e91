"""Captions: what a class is called in training, drawn from the same templates that later make the prompts."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence

from inpaint_transform.core import prompts as core_prompts
from inpaint_transform.core.labels import ClassNames, check_class_names
from inpaint_transform.core.prompts import Prompts

TEMPLATES = ("a photo of a {label}", "a photo of {label}", "a {label}", "{label}")
# What is said of a hole that shows no object: asked for later, it takes an object away.
BACKGROUND = "background"
# How often nothing is said, which guidance needs to know.
EMPTY_SHARE = 0.1
# Of one class; all of them are put into words once, before training.
MAX_CAPTIONS = 64


class Captions:
    """The captions of all classes.

    Args:
        labels: The class names.
        prompts: Templates with ``{label}`` and attribute slots, for all or by label, as ``BBoxInpaint`` takes them.
        attributes: Slot name to values. Where they make more captions of a class than ``MAX_CAPTIONS``, so many are
            drawn, with every value in them as long as there are not more values than that.
        class_names: Label to noun.

    Raises:
        ValueError: A class has no template, or a slot that nothing fills; or ``class_names`` is no mapping or list of
            names.
    """

    def __init__(
        self,
        labels: Iterable[str],
        prompts: Prompts = TEMPLATES,
        attributes: Mapping[str, Sequence[str]] | None = None,
        class_names: ClassNames = None,
    ) -> None:
        attributes = attributes or {}
        if callable(prompts):
            raise ValueError(f"prompts={prompts!r}: a function cannot be asked for all that it may say; give templates")
        core_prompts.check(prompts, attributes, sample_slots=False)
        check_class_names(class_names)
        self.by_label = {
            label: _all_captions(core_prompts.templates_of(prompts, label, class_names), label, attributes, class_names)
            for label in labels
        }

    def draw(self, label: str | None, rng: random.Random) -> str:
        """A caption for a class, for the background (None), or sometimes nothing."""
        if rng.random() < EMPTY_SHARE:
            return ""
        return BACKGROUND if label is None else rng.choice(self.by_label[label])

    def everything(self) -> list[str]:
        """All that ``draw`` may give, each once."""
        return list(dict.fromkeys(["", BACKGROUND, *itertools.chain.from_iterable(self.by_label.values())]))


def _all_captions(
    templates: Sequence[str], label: str, attributes: Mapping[str, Sequence[str]], class_names: ClassNames
) -> list[str]:
    found: dict[str, None] = {}
    for number, template in enumerate(templates):
        room = max(1, (MAX_CAPTIONS - len(found)) // (len(templates) - number))
        slots = [
            slot for slot in dict.fromkeys(core_prompts.slots_of(template)) if slot not in core_prompts.LABEL_SLOTS
        ]
        for values in _combined([attributes[slot] for slot in slots], room):
            caption = core_prompts.draw(
                template,
                label,
                random.Random(0),  # noqa: S311 - nothing is left to draw
                attributes={slot: [value] for slot, value in zip(slots, values, strict=True)},
                class_names=class_names,
                slots={},
            )
            found[caption] = None
    return list(found)


def _combined(choices: Sequence[Sequence[str]], room: int) -> list[tuple[str, ...]]:
    """All ways to take one of each, or as many as there is room for, in which all values come equally often."""
    if math.prod(map(len, choices)) <= room:
        return list(itertools.product(*choices))
    rng = random.Random(0)  # noqa: S311 - captions
    drawn = []
    for values in choices:
        rounds = -(-room // len(values))
        shuffled = [value for _ in range(rounds) for value in rng.sample(list(values), len(values))]
        drawn.append(shuffled[:room])
    return list(zip(*drawn, strict=True))
