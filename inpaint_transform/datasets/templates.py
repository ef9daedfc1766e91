"""Templates: the prompts of each label, and the recipe that paints them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from inpaint_transform.core.prompts import LABEL_SLOTS, label_slots, slots_of

if TYPE_CHECKING:
    from inpaint_transform.core.labels import Label
    from inpaint_transform.core.recipe import Recipe

# Templates by label; under None those of every label that has none of its own.
Templates = Mapping[str | None, Sequence[str]]
PROMPT = "a photo of a {label}"


def check_prompt(prompt: str, typed: str | None = None) -> None:
    """Refuse a prompt that nothing can be painted from.

    Args:
        prompt: The template.
        typed: What the user gave, for the error.

    Raises:
        ValueError: It is empty or has a slot other than ``{label}`` and ``{a_label}``.
    """
    typed = prompt if typed is None else typed
    if not prompt.strip():
        raise ValueError(f"prompt {typed!r} is empty; say what to paint")
    unfilled = [slot for slot in slots_of(prompt) if slot not in LABEL_SLOTS]
    if unfilled:
        raise ValueError(
            f"prompt {typed!r}: nothing fills {{{unfilled[0]}}}; here {{label}} and {{a_label}} are the only slots"
        )


def check_labels(templates: Templates, classes: Collection[str]) -> None:
    """Refuse prompts for labels that do not exist: a prompt that holds ``=`` may have been taken for one.

    Args:
        templates: The prompts of each label.
        classes: All labels that there are, or that a swap gives.

    Raises:
        ValueError: A label is none of them.
    """
    unknown = sorted({label for label in templates if label is not None} - set(classes))
    if unknown:
        raise ValueError(
            f"no class is called {unknown[0]!r}; the classes are {', '.join(classes)}. A prompt for every label that "
            f"itself holds '=' begins with one: '={unknown[0]}=...'"
        )


def recipe_for(recipe: Recipe, templates: Templates, only: Collection[str] = (), turn: int | None = None) -> Recipe:
    """A recipe that paints what was typed.

    Args:
        recipe: All other settings. With a swap the labels that it is for are painted, and no others.
        templates: The prompts of each label; a label that is swapped needs one for what it may become. Labels without a
            template are left alone.
        only: Labels to paint, or empty for all.
        turn: Which of a label's templates is taken, counted from 0 and beginning anew after the last; None draws one
            for each box.

    Raises:
        ValueError: There is a swap, and no template for a label that is to be painted, or ``only`` leaves out a label
            that is swapped.
    """

    def fill(label: Label, _: Mapping[str, str], rng: random.Random) -> str:
        own = templates.get(str(label))
        wanted = templates[None] if own is None else own
        template = rng.choice(wanted) if turn is None else wanted[turn % len(wanted)]
        return template.format(**label_slots(str(label)))

    labels = None if None in templates else [label for label in templates if label is not None]
    if recipe.relabel is not None:
        labels = list(only) or list(recipe.relabel.targets)
        if unused := sorted(set(recipe.relabel.targets) - set(labels)):
            raise ValueError(f"{unused[0]!r} is swapped and is not among the labels to paint; add --only '{unused[0]}'")
        wanted = recipe.relabel.labels().union(set(labels) - set(recipe.relabel.targets))
        if None not in templates and (missing := sorted(wanted - set(templates))):
            raise ValueError(f"no prompt for {missing[0]!r}; add --prompt '{missing[0]}=...', or one for every label")
    elif only:
        labels = [label for label in only if labels is None or label in labels]
    return dataclasses.replace(recipe, prompts=fill, include_labels=labels)
