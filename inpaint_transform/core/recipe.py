"""The recipe: what to paint and where, as far as it does not depend on a framework or a sample."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core import prompts, references, vocabulary
from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.labels import NO_LABELS, ClassNames, Label, check_class_names, lookup, noun
from inpaint_transform.core.prompts import Prompts
from inpaint_transform.core.protocol import Judge
from inpaint_transform.core.references import References
from inpaint_transform.core.swaps import Swap

SHAPES = ("box", "ellipse", "mask")
NO_BOX = ("skip", "random")
STALE = ("keep", "skip", "clear")
# The settings that speak of classes.
CLASSES = ("include_labels", "exclude_labels", "box_p", "relabel", "reference")


@known_fields
@dataclass(frozen=True)
class Recipe:
    """What to paint and where: the settings that do not depend on a framework.

    The fields are the arguments of the same names of ``BBoxInpaint``, which documents them.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.
    """

    prompts: Prompts = "a photo of a {label}"
    negative_prompt: str | None = None
    attributes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    reference: References | None = None
    class_names: ClassNames = None
    prompt_key: str | None = None
    num_boxes: int | tuple[int, int] = 1
    box_p: float | Mapping[Any, float] | None = None
    min_box_size: int = 32
    area_range: tuple[float, float] = (0.0, 1.0)
    include_labels: Collection[Label] | None = None
    exclude_labels: Collection[Label] = ()
    truncated: bool = True
    context: float = 2.0
    strength: float | tuple[float, float] = 1.0
    shape: str = "box"
    mask_dilation: float = 0.05
    protect: bool = True
    relabel: Swap | None = None
    stale: str = "keep"
    feather: float = 0.08
    match_border: bool = True
    when_no_box: str = "skip"
    retries: int = 2

    def __post_init__(self) -> None:
        prompts.check(self.prompts, self.attributes, self.prompt_key is not None)
        object.__setattr__(self, "reference", references.read(self.reference))
        check_class_names(self.class_names)
        self._check("negative_prompt", lambda text: text is None or isinstance(text, str), "a string or None")
        self._check("num_boxes", _is_count_range, "a count >= 1 or (least, most)")
        self._check("box_p", _are_probabilities, "a probability in [0, 1], or {label: probability}")
        self._check("min_box_size", lambda pixels: pixels >= 0, "a number of pixels >= 0")
        self._check("area_range", _is_share_range, "(least, most) shares of the image in [0, 1]")
        self._check(
            "include_labels",
            lambda labels: labels is None or (_is_list(labels) and len(labels) > 0),
            "a list of at least one label, or None for all",
        )
        self._check("exclude_labels", _is_list, "a list of labels")
        self._check("truncated", lambda value: isinstance(value, bool), "True or False")
        self._check("match_border", lambda value: isinstance(value, bool), "True or False")
        self._check("prompt_key", lambda name: name is None or isinstance(name, str), "a name or None")
        self._check("context", lambda factor: 1 <= factor < math.inf, "a factor >= 1")
        self._check("strength", _is_strength, "a number in (0, 1] or (least, most)")
        self._check("shape", lambda name: name in SHAPES, f"one of {', '.join(SHAPES)}")
        self._check("mask_dilation", lambda share: 0 <= share <= 1, "a share of the box >= 0 and <= 1")
        self._check("protect", lambda value: isinstance(value, bool), "True or False")
        self._check("stale", lambda name: name in STALE, f"one of {', '.join(STALE)}")
        self._check("feather", lambda share: 0 <= share <= 0.5, "a share of the box in [0, 0.5]")
        self._check("when_no_box", lambda name: name in NO_BOX, f"one of {', '.join(NO_BOX)}")
        self._check("retries", lambda count: isinstance(count, int) and count >= 0, "a count >= 0")
        if self.when_no_box == "random" and not self._known_labels() and self._prompts_need_label():
            raise ValueError(
                "when_no_box='random' paints where there is no label, but the prompts need {label}; give class_names, "
                "prompts by label, or prompts without {label}"
            )

    def _check(self, name: str, holds: Callable[[Any], bool], allowed: str) -> None:
        value = getattr(self, name)
        try:
            fits = holds(value)
        except (TypeError, ValueError):  # not a number, not a pair
            fits = False
        if not fits:
            raise ValueError(f"{name}={value!r}: use {allowed}")

    def _known_labels(self) -> list[Label]:
        """The labels that the settings bring, whatever samples have."""
        if isinstance(self.prompts, Mapping):
            return list(self.prompts)
        if isinstance(self.class_names, Mapping):
            return list(self.class_names)
        return list(self.class_names or ())

    def _prompts_need_label(self) -> bool:
        if callable(self.prompts) or isinstance(self.prompts, Mapping):
            return False
        templates = [self.prompts] if isinstance(self.prompts, str) else self.prompts
        return any(set(prompts.LABEL_SLOTS) & set(prompts.slots_of(template)) for template in templates)

    def scaled(self, share: float) -> Recipe:
        """The recipe with ``share`` times its ``box_p``, as a schedule wants it."""
        if share == 1 or self.box_p is None:
            return self
        if isinstance(self.box_p, Mapping):
            return dataclasses.replace(self, box_p={label: p * share for label, p in self.box_p.items()})
        return dataclasses.replace(self, box_p=self.box_p * share)

    def spoken(self, labels: Sequence[Label] | None) -> Recipe:
        """The recipe with its classes called as a sample's labels call them: by ids, or by names.

        Args:
            labels: The labels of a sample's boxes, of which there is at least one; None where it has none.

        Raises:
            ValueError: A setting speaks of a class that there is not, or of classes where the sample has no labels.
        """
        if labels is None:
            for name in CLASSES:
                if getattr(self, name) and not isinstance(getattr(self, name), int | float):
                    raise ValueError(f"{name} chooses by label, but {NO_LABELS}")
            return self
        numbers = vocabulary.are_numbers(labels)
        if numbers is None:
            return self
        if not numbers and self.class_names is None:
            vocabulary.check_case(self._words, labels)
        return self._by_id if numbers else self._by_name

    def check_labels(self, labels: Sequence[Label] | None, judge: Judge | None = None) -> dict[Label, list[Label]]:
        """Refuse what would fail later, when a box with one of these labels is drawn.

        Args:
            labels: As of ``spoken``.
            judge: Who judges what is painted, and may need words.

        Returns:
            What each of the labels may be painted as; without those whose boxes are never painted.

        Raises:
            ValueError: As of ``spoken``, or a label that may be painted has no prompt or no name.
        """
        recipe = self.spoken(labels)
        targets: dict[Label, list[Label]] = {}
        for label in dict.fromkeys((None,) if labels is None else labels):
            if not recipe._wants(label):
                continue
            by_label = isinstance(self.prompts, Mapping) or self._prompts_need_label()
            if label is None and by_label and any(one is not None for one in labels or ()):
                raise ValueError("a box has the label None, and the prompt is by label; give each box one")
            targets[label] = [label] if recipe.relabel is None else [*recipe.relabel.targets_of(label)]
            for target in targets[label]:
                prompts.check_label(recipe.prompts, target, recipe.class_names, source=label)
            if judge is not None:
                for one in (label, *targets[label]):
                    noun(one, recipe.class_names, words=judge.clip is not None)
        return targets

    def _wants(self, label: Label) -> bool:
        """Whether boxes of a label may be painted, called as samples call it."""
        if label in self.exclude_labels or (self.include_labels is not None and label not in self.include_labels):
            return False
        return not isinstance(self.box_p, Mapping) or (lookup(self.box_p, label) or 0) > 0

    @functools.cached_property
    def _by_id(self) -> Recipe:
        return self._called(numbers=True)

    @functools.cached_property
    def _by_name(self) -> Recipe:
        return self._called(numbers=False)

    @functools.cached_property
    def _words(self) -> dict[str, Collection[Any]]:
        """The classes that settings speak of, by setting."""
        found: dict[str, Collection[Any]] = {name: getattr(self, name) or () for name in CLASSES}
        found["box_p"] = self.box_p if isinstance(self.box_p, Mapping) else ()
        found["relabel"] = () if self.relabel is None else {*self.relabel.targets, *self.relabel.labels()}
        return found

    def chosen(self) -> dict[str, list[str]]:
        """The names of classes that settings speak of, by setting; a swap's new classes are among them."""
        return {setting: [word for word in found if isinstance(word, str)] for setting, found in self._words.items()}

    def _called(self, *, numbers: bool) -> Recipe:
        names = self.class_names
        changes: dict[str, Any] = {}
        for name in ("include_labels", "exclude_labels"):
            if given := getattr(self, name):
                changes[name] = [label for one in given for label in vocabulary.spoken(name, one, names, numbers)]
        if isinstance(self.box_p, Mapping):
            changes["box_p"] = vocabulary.spoken_keys("box_p", self.box_p, names, numbers)
        if isinstance(self.prompts, Mapping) and names is not None:
            changes["prompts"] = vocabulary.spoken_keys("prompts", self.prompts, names, numbers, strict=False)
        if self.reference is not None and names is not None:
            changes["reference"] = vocabulary.spoken_keys("reference", self.reference, names, numbers)
        if self.relabel is not None:
            changes["relabel"] = vocabulary.spoken_swap(self.relabel, names, numbers)
        return dataclasses.replace(self, **changes) if changes else self

    def nouns(self) -> list[str]:
        """The words for all classes that the recipe knows of."""
        if self.class_names is not None:
            names = self.class_names
            return list(dict.fromkeys(names.values() if isinstance(names, Mapping) else names))
        labels = [*self.prompts] if isinstance(self.prompts, Mapping) else []
        if self.relabel is not None:
            labels += [*self.relabel.targets, *self.relabel.labels()]
        return list(dict.fromkeys(noun(label, None, words=False) for label in labels))

    def labels_without_box(self) -> list[Label]:
        """What a region of an image that has no boxes may be painted as, one of them drawn.

        Returns:
            The labels that no setting leaves out; ``[None]`` where the prompts need none.
        """
        labels = self._known_labels()
        if not labels:
            return [None]
        recipe = self.spoken(labels)
        return [label for label in labels if recipe._wants(label)]


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes)


def _is_count_range(value: Any) -> bool:
    least, most = (value, value) if isinstance(value, int) else value
    return isinstance(least, int) and isinstance(most, int) and 1 <= least <= most


def _are_probabilities(value: Any) -> bool:
    shares = value.values() if isinstance(value, Mapping) else [value]
    return value is None or all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)


def _is_share_range(value: Any) -> bool:
    low, high = value
    return bool(0 <= low <= high <= 1)


def _is_strength(value: Any) -> bool:
    low, high = value if isinstance(value, Sequence) else (value, value)
    return bool(0 < low <= high <= 1)
