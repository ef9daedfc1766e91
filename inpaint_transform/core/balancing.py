"""Balancing classes: what swaps can reach with the boxes of a data set, and with which settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.labels import Label
from inpaint_transform.core.swaps import Swap, checked_boxes, class_counts, class_sizes

# Of a picture: the budget says how many of them are painted.
MANY_BOXES = 100


@dataclass(frozen=True)
class Balance:
    """What balances the classes of a data set, and what that gives.

    Two things can be done, and ``balance`` recommends both. Boxes of frequent classes become rare ones, as far as
    sizes allow: that changes how many objects of a class an epoch shows. And the rare classes' own boxes are painted
    again and again: that does not change how many there are, but how many different ones a training sees.

    Attributes:
        swap: For ``BBoxInpaint(relabel=...)``: frequent classes into rare ones where a box fits, and nothing else.
        box_p: For ``BBoxInpaint(box_p=..., p=1.0)``, by label; classes that are not in it are not painted.
        counts: How many boxes each class has.
        expected: How many an epoch shows on average with ``swap`` and ``box_p``.
        fresh: How many of those are painted.
        can_become: How many boxes of each frequent class fit which rare class.
        budget: For ``inpaint-transform export --budget``: how many of a rare class's own boxes to paint so that the
            export holds as many different objects of it as of the mean class.
        copies: For ``--copies``: how many painted copies of a picture that takes, with ``--boxes-per-image`` at
            least as large as the number of rare boxes in any picture.

    Examples:
        >>> boxes = [("cone", (0, 0, 100, 100))] * 90 + [("cube", (0, 0, 90, 90))] * 30
        >>> plan = balance(boxes)
        >>> print(plan)
        boxes: cone 90, cube 30; even would be 60 each
        fit by size: cone -> cube 90 of 90
        with relabel=plan.swap, box_p={'cube': 0.5, 'cone': 0.333}, p=1.0, where plan = balance(boxes)
        an epoch shows cone 60, cube 60; of these painted cube 45
    """

    swap: Swap
    box_p: Mapping[Any, float]
    counts: Mapping[Any, int]
    expected: Mapping[Any, int]
    fresh: Mapping[Any, int]
    can_become: Mapping[Any, Mapping[Any, int]]
    budget: Mapping[Any, int]
    copies: int

    def __str__(self) -> str:
        mean = sum(self.counts.values()) / len(self.counts)
        lines = [f"boxes: {_listed(self.counts)}; even would be {mean:.0f} each"]
        fits = [
            f"{source} -> {target} {count} of {self.counts[source]}"
            for source, targets in self.can_become.items()
            for target, count in targets.items()
        ]
        if fits:
            lines.append(f"fit by size: {', '.join(fits)}")
        lines.append(f"with relabel=plan.swap, box_p={dict(self.box_p)!r}, p=1.0, where plan = balance(boxes)")
        lines.append(f"an epoch shows {_listed(self.expected)}; of these painted {_listed(self.fresh)}")
        if any(self.expected[label] < self.counts[label] + lacking / 2 for label, lacking in self.budget.items()):
            options = " ".join(f"--only '{label}' --budget '{label}={count}'" for label, count in self.budget.items())
            lines.append("swaps alone do not close the gap; as many different objects of every class gives")
            lines.append(
                f"inpaint-transform export ... --copies {self.copies} --boxes-per-image {MANY_BOXES} {options}"
            )
        return "\n".join(lines)


def balance(
    boxes: Iterable[tuple[Label, Box]],
    max_share: float = 0.5,
    max_size_ratio: float = 1.5,
    min_box_size: int = 32,
) -> Balance:
    """What balances the classes of a data set as far as its boxes allow.

    Args:
        boxes: The labels and pixel boxes ``(x0, y0, x1, y1)`` of the data set, of at least two classes; empty boxes do
            not count.
        max_share: The largest share of a class's boxes that one epoch paints, in (0, 1]: a detector should see real
            objects of every class and size too.
        max_size_ratio: As in ``Swap``.
        min_box_size: As in the transform.

    Raises:
        ValueError: An argument is out of its range, a box has its corners the wrong way round, or there are fewer than
            two classes.
    """
    if not 0 < max_share <= 1:
        raise ValueError(f"max_share={max_share!r}: use a share in (0, 1]")
    labelled = [(label, box) for label, box in checked_boxes(boxes) if math.prod(sides(box))]
    counts = class_counts(labelled)
    swap = dataclasses.replace(Swap.balanced(counts, class_sizes(labelled)), max_size_ratio=max_size_ratio)
    mean = sum(counts.values()) / len(counts)
    paintable = [(label, box) for label, box in labelled if min(sides(box)) >= min_box_size]
    sources = {label: count - mean for label, count in counts.items() if count > mean}
    rare = {label: mean - count for label, count in counts.items() if count < mean}

    box_p = dict.fromkeys(rare or counts, max_share)
    box_p.update(_shares(swap, paintable, sources, rare, max_share))
    # Rounded down, and what is promised is computed from what is said.
    box_p = {label: math.floor(share * 1000) / 1000 for label, share in box_p.items()}
    own = class_counts(paintable)
    budget = {label: round(lacking) for label, lacking in rare.items() if own.get(label)}
    expected = swap.expected_counts(labelled, box_p, min_box_size)
    fresh = {
        label: round(own.get(label, 0) * box_p[label]) + expected[label] - counts[label] for label in rare or counts
    }
    return Balance(
        swap=swap,
        box_p=box_p,
        counts=counts,
        expected=expected,
        fresh=fresh,
        can_become=swap.can_become(labelled, min_box_size) if sources else {},
        budget=budget,
        copies=max((math.ceil(count / own[label]) for label, count in budget.items()), default=0),
    )


def _shares(
    swap: Swap,
    paintable: Iterable[tuple[Label, Box]],
    surplus: Mapping[Any, float],
    lacking: Mapping[Any, float],
    max_share: float,
) -> dict[Any, float]:
    """Which share of each source's boxes to swap, so that none falls below the mean and no target rises above it."""
    inflow: dict[Any, dict[Any, float]] = {}
    for label, box in paintable:
        if label in surplus and (options := swap.options(label, box)):
            of_source = inflow.setdefault(label, {})
            for target, weight in options.items():
                of_source[target] = of_source.get(target, 0) + weight / sum(options.values())
    shares = {source: min(max_share, surplus[source] / sum(found.values())) for source, found in inflow.items()}
    total: dict[Any, float] = {}
    for source, found in inflow.items():
        for target, count in found.items():
            total[target] = total.get(target, 0) + shares[source] * count
    return {
        source: shares[source] * min(1.0, *(lacking[target] / total[target] for target in found))
        for source, found in inflow.items()
    }


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in counts.items())
