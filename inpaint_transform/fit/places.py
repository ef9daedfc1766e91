"""Places: which boxes of which pictures are painted as what, to show or to measure a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.plan import Scene, plan_box
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap
from inpaint_transform.fit.pictures import Sample


@dataclass(frozen=True)
class Place:
    """A box of a picture."""

    sample: Sample
    index: int

    @property
    def box(self) -> Box:
        """The box."""
        return self.sample.boxes[self.index]

    @property
    def label(self) -> str:
        """Its class."""
        return self.sample.labels[self.index]


# A box, and what to paint.
Row = tuple[Place, str]


def by_label(
    samples: Sequence[Sample], labels: Sequence[str], among: Callable[[Sample], list[int]] = Sample.usable
) -> dict[str, list[Place]]:
    """The boxes of each class, those of a picture that ``among`` gives: by default the ones that are large enough."""
    found: dict[str, list[Place]] = {label: [] for label in labels}
    for sample in samples:
        for index in among(sample):
            if sample.labels[index] in found:
                found[sample.labels[index]].append(Place(sample, index))
    return found


def paintable(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, list[Place]]:
    """Those of them that the transform would paint; of a class that has none, all."""
    usual, others = by_label(samples, labels, Sample.paintable), by_label(samples, labels)
    return {label: usual[label] or others[label] for label in labels}


def rows(held: Mapping[str, Sequence[Place]], edits: int, seed: int, sizes: Mapping[Any, float]) -> list[Row]:
    """What to paint where: as many boxes of each class as what they are, and as many in all as another class.

    A box becomes what ``Swap`` lets it become, a class of about its size: no detector takes a platelet as large as a
    white cell for one. Boxes come again, with other seeds, where there are too few.

    Args:
        held: The boxes of each class.
        edits: How many rows, at least, where any box fits another class.
        seed: Decides on the boxes.
        sizes: Typical size of each class in pixels, see ``class_sizes``.
    """
    rng = random.Random(seed)  # noqa: S311 - which boxes, not cryptography
    present = [label for label in held if held[label]]
    fitting: dict[tuple[str, str], list[Place]] = {}
    for label in present:
        swap = Swap({label: [other for other in held if other != label] or label}, sizes)
        for place in held[label]:
            for other in swap.options(label, place.box):
                if other != label:
                    fitting.setdefault((label, other), []).append(place)
    own = -(-edits // (len(present) * (2 if fitting else 1)))
    found = [(place, label) for label in present for place in _drawn(held[label], own, rng)]
    each = -(-own * len(present) // max(1, len(fitting)))
    return found + [
        (place, other) for (_, other), places in sorted(fitting.items()) for place in _drawn(places, each, rng)
    ]


def _drawn(places: Sequence[Place], count: int, rng: random.Random) -> list[Place]:
    rounds = -(-count // len(places))
    return [place for _ in range(rounds) for place in rng.sample(list(places), len(places))][:count]


def edit_as(target: str, picture: np.ndarray, place: Place, recipe: Recipe, rng: random.Random) -> Edit:
    """The edit of a box of a picture as any class, beside neighbours that stay as they are."""
    boxes = [place.box, *(place.sample.neighbours(place.index) or ())]
    return plan_box(recipe, Scene(picture.shape[0], picture.shape[1], boxes, [target] * len(boxes)), 0, rng)
