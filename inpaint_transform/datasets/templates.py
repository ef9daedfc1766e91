"""Templates: the prompts of each label, and the recipe that paints them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.labels import noun
from inpaint_transform.core.nearest import nearest
from inpaint_transform.core.prompts import LABEL_SLOTS, label_slots, slots_of

if TYPE_CHECKING:
    from inpaint_transform.core.labels import Label
    from inpaint_transform.core.prompts import Prompts
    from inpaint_transform.core.recipe import Recipe

# Templates by label; under None those of every label that has none of its own.
Templates = Mapping[str | None, Sequence[str]]
PROMPT = "a photo of a {label}"


def check_prompt(prompt: str, typed: str | None = None, attributes: Collection[str] | None = None) -> None:
    """Refuse a prompt that nothing can be painted from.

    Args:
        prompt: The template.
        typed: What the user gave, for the error.
        attributes: The slots that have values; None where there can be none.

    Raises:
        ValueError: It is empty, or has a slot that nothing fills.
    """
    typed = prompt if typed is None else typed
    if not prompt.strip():
        raise ValueError(f"prompt {typed!r} is empty; say what to paint")
    unfilled = [slot for slot in slots_of(prompt) if slot not in (*LABEL_SLOTS, *(attributes or ()))]
    if not unfilled:
        return
    mend = "here {label} and {a_label} are the only slots"
    if attributes is not None:
        mend = f"give it values, --attribute {unfilled[0]}=VALUE,VALUE"
    raise ValueError(f"prompt {typed!r}: nothing fills {{{unfilled[0]}}}; {mend}")


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
            f"{no_class(unknown[0], classes)}. A prompt for every label that itself holds '=' begins with one: "
            f"'={unknown[0]}=...'"
        )


def no_class(label: str, classes: Collection[str]) -> str:
    """What to say of a class that there is not, with the one that was probably meant."""
    return f"no class is called {label!r}; the classes are {', '.join(classes)}{nearest(label, [*classes])}"


def new_classes(recipe: Recipe, classes: Collection[str]) -> list[str]:
    """What to say before painting of each class that a swap brings in: it may be meant so, or be mistyped.

    Args:
        recipe: With the swap, in the names of the data set.
        classes: Those that the data set has.
    """
    new = set() if recipe.relabel is None else {str(label) for label in recipe.relabel.labels()} - set(classes)
    listed = [*classes]
    return [f"new class: {label}, which the data set does not have{nearest(label, listed)}" for label in sorted(new)]


def painted_labels(
    recipe: Recipe, templates: Templates | None, only: Collection[str] | None = ()
) -> list[Label] | None:
    """The labels that are painted; None for all.

    Args:
        recipe: All other settings.
        templates: The prompts of each label; labels without one are left alone, and a label that is swapped needs one
            for what it may become. None: the recipe's own prompts are for all labels.
        only: Labels to paint. Without any, those of the recipe; with a swap and none of these, the labels that it is
            for. None: not even a swap leaves labels out.

    Raises:
        ValueError: There is a swap, and no template for a label that is to be painted, or ``only`` leaves out a label
            that is swapped.
    """
    swap = recipe.relabel
    labels: list[Label] | None = None
    if only:
        labels = list(only)
    elif recipe.include_labels is not None:
        labels = list(recipe.include_labels)
    elif swap is not None and only is not None:
        labels = list(swap.targets)
    if swap is not None and only and (unused := sorted(set(swap.targets) - set(only))):
        raise ValueError(f"{unused[0]!r} is swapped and is not among the labels to paint; add --only '{unused[0]}'")
    if templates is None or None in templates:
        return labels
    own = [label for label in templates if label is not None]
    if swap is None:
        return [*own] if labels is None else [label for label in labels if label in own]
    if labels is None:
        labels = list(dict.fromkeys([*swap.targets, *own]))
    wanted = swap.labels().union(set(labels) - set(swap.targets))
    if missing := sorted(wanted - set(own), key=str):
        raise ValueError(f"no prompt for {missing[0]!r}; add --prompt '{missing[0]}=...', or one for every label")
    return labels


def recipe_for(
    recipe: Recipe, templates: Templates | None, only: Collection[str] | None = (), turn: int | None = None
) -> Recipe:
    """A recipe that paints what was asked for.

    Args:
        recipe: All other settings.
        templates: The prompts of each label, as for ``painted_labels``; None for the recipe's own.
        only: Labels to paint, as for ``painted_labels``.
        turn: Which of a label's templates is taken, counted from 0 and beginning anew after the last; None draws one
            for each box.

    Raises:
        ValueError: As of ``painted_labels``.
    """
    labels = painted_labels(recipe, templates, only)
    if templates is None or len(templates) == 1 or None not in templates:
        prompts = recipe.prompts if templates is None else plain_prompts(templates, [one for one in templates if one])
        return dataclasses.replace(recipe, prompts=in_turn(prompts, turn), include_labels=labels)

    def fill(label: Label, slots: Mapping[str, str], rng: random.Random) -> str:
        own = templates.get(str(label))
        wanted = templates[None] if own is None else own
        template = rng.choice(wanted) if turn is None else wanted[turn % len(wanted)]
        named = set(LABEL_SLOTS) & set(slots_of(template))
        words = label_slots(noun(label, recipe.class_names)) if named else {}
        return template.format(**{**slots, **words})

    return dataclasses.replace(recipe, prompts=fill, include_labels=labels)


def in_turn(prompts: Any, turn: int | None) -> Any:
    """Prompts as a recipe has them with one template of each list, counted as ``turn`` in ``recipe_for`` is."""
    if turn is None or isinstance(prompts, str) or callable(prompts):
        return prompts
    if isinstance(prompts, Mapping):
        return {label: in_turn(own, turn) for label, own in prompts.items()}
    return [prompts[turn % len(prompts)]]


def plain_prompts(templates: Templates, labels: Iterable[str]) -> Prompts:
    """Templates as a transform takes them: for all labels, or by label.

    Args:
        templates: The prompts of each label.
        labels: The labels that there are, and those that a swap gives.
    """
    if set(templates) == {None}:
        [listed] = templates.values()
        return list(listed) if len(listed) > 1 else listed[0]
    return {
        label: list(templates.get(label) or templates[None])
        for label in labels
        if label in templates or None in templates
    }
