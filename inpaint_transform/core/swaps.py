"""Class swaps: which class an object becomes when it is repainted, and policies made from class counts."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.labels import Label, lookup

_FIELDS = {"targets", "sizes", "max_size_ratio"}


@known_fields
@dataclass(frozen=True)
class Swap:
    """What the objects of each class may become.

    A swap paints the target's prompt and rewrites the label, once the painted pixels are accepted. Classes that are
    no source keep theirs. A box that fits none of its targets by size is left alone, since a platelet painted as
    large as a white cell teaches a detector nonsense.

    Attributes:
        targets: By source label: one target label, a list of labels of equal weight, or ``{label: weight}``. The
            source itself may be among them: it is then repainted as what it is.
        sizes: Typical size of each class in pixels, the square root of the box area, as ``class_sizes`` measures it.
            A target that is not in it, and every target where it is empty, fits any box.
        max_size_ratio: How many times smaller or larger than its new class's typical size a box may be, >= 1.

    Raises:
        ValueError: A field is out of its range; the message names it, its value and the mend.

    Examples:
        >>> swap = Swap({"sedan": {"police car": 1, "sedan": 3}}, sizes={"police car": 100})
        >>> swap.options("sedan", (0, 0, 120, 80))
        {'police car': 1.0, 'sedan': 3.0}
        >>> swap.options("sedan", (0, 0, 20, 20)), swap.options("bus", (0, 0, 20, 20))
        ({'sedan': 3.0}, {'bus': 1.0})
    """

    targets: Mapping[Any, Any]
    sizes: Mapping[Any, float] = field(default_factory=dict)
    max_size_ratio: float = 1.5

    def __post_init__(self) -> None:
        if not isinstance(self.targets, Mapping) or not self.targets:
            raise ValueError(f"relabel={self.targets!r}: give {{label: new label}} with at least one label")
        for source, targets in self.targets.items():
            weights = _weights(targets)
            if not weights or not all(_positive(weight) for weight in weights.values()):
                raise ValueError(
                    f"relabel={{{source!r}: {targets!r}}}: give a label, a list of labels, or {{label: weight above 0}}"
                )
        for label, size in self.sizes.items():
            if not _positive(size):
                raise ValueError(f"sizes={{{label!r}: {size!r}}}: use a number of pixels above 0")
        if not _positive(self.max_size_ratio) or self.max_size_ratio < 1:
            raise ValueError(f"max_size_ratio={self.max_size_ratio!r}: use a factor of at least 1")

    @classmethod
    def of(cls, value: Mapping[str, Any] | Swap | None) -> Swap | None:
        """Read what a transform's ``relabel`` may be: ``targets`` alone, what ``to_dict`` gave, a swap or None."""
        if value is None or isinstance(value, Swap):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"relabel={value!r}: give {{label: new label}} or a Swap")
        if "targets" in value and set(value) <= _FIELDS and isinstance(value["targets"], Mapping):
            return cls(**value)
        return cls(value)

    @classmethod
    def balanced(cls, counts: Mapping[Any, int], sizes: Mapping[Any, float] | None = None) -> Swap:
        """A policy that turns boxes of frequent classes into rare ones, and never the other way round.

        Classes with more boxes than the mean over all classes are the sources; those with fewer are the targets, each
        with a weight in proportion to what it lacks. So no rare class loses a box, and none is spent on painting a
        frequent class as itself. Where the classes are even already, every class stays what it is.

        Sizes decide how much such a policy can do; ``balance`` says how much it is, and what does balance where sizes
        forbid most swaps.

        Args:
            counts: How many boxes of each class the data set has, >= 1; see ``class_counts``.
            sizes: As in the class; see ``class_sizes``.

        Raises:
            ValueError: Fewer than two classes, or a count below 1.

        Examples:
            >>> counts = {"red cell": 4000, "white cell": 400, "platelet": 400}
            >>> swap = Swap.balanced(counts)
            >>> swap.expected_counts(counts, share=0.3)
            {'red cell': 2800, 'white cell': 1000, 'platelet': 1000}
        """
        if len(counts) < 2 or not all(_positive(count) and count >= 1 for count in counts.values()):
            raise ValueError(f"counts={dict(counts)!r}: give at least two classes, each with a count of at least 1")
        mean = sum(counts.values()) / len(counts)
        lacking = {label: mean - count for label, count in counts.items() if count < mean}
        targets = {label: lacking for label, count in counts.items() if count > mean}
        return cls(targets or {label: label for label in counts}, sizes or {})

    def expected_counts(
        self,
        boxes: Mapping[Any, int] | Iterable[tuple[Label, Box]],
        share: float | Mapping[Any, float],
        min_box_size: int = 32,
    ) -> dict[Any, int]:
        """How many boxes of each class an epoch shows on average, if all that is painted is accepted.

        A box that fits none of its targets is not painted and keeps its class, and so does one that is too small.

        Args:
            boxes: The labels and pixel boxes of the data set; for a swap without sizes, how many there are by class.
            share: The share of paintable boxes that is painted, in [0, 1]: ``p * box_p``, by label where ``box_p`` is.
            min_box_size: As in the transform.

        Raises:
            ValueError: Counts alone do not tell which boxes fit, or a box has its corners the wrong way round.
        """
        expected: dict[Any, float] = {}
        for label, box, count in self._counted(boxes):
            expected[label] = expected.get(label, 0) + count
            if box is not None and min(sides(box)) < min_box_size:
                continue
            drawn = (lookup(share, label) or 0.0) if isinstance(share, Mapping) else share
            weights = self.targets_of(label) if box is None else self.options(label, box)
            for target, weight in weights.items():
                moved = count * drawn * weight / sum(weights.values())
                expected[label] -= moved
                expected[target] = expected.get(target, 0) + moved
        return {label: round(count) for label, count in expected.items()}

    def _counted(
        self, boxes: Mapping[Any, int] | Iterable[tuple[Label, Box]]
    ) -> Iterator[tuple[Label, Box | None, int]]:
        if not isinstance(boxes, Mapping):
            yield from ((label, box, 1) for label, box in checked_boxes(boxes))
            return
        if self.sizes:
            raise ValueError(
                f"boxes={dict(boxes)!r}: this swap has sizes, and counts do not tell which boxes fit; give the labels "
                f"and boxes themselves, [(label, (x0, y0, x1, y1)), ...]"
            )
        yield from ((label, None, count) for label, count in boxes.items())

    def can_become(self, boxes: Iterable[tuple[Label, Box]], min_box_size: int = 32) -> dict[Any, dict[Any, int]]:
        """How many boxes of each source fit which of its other targets.

        Args:
            boxes: The labels and pixel boxes of the data set.
            min_box_size: As in the transform; smaller boxes are never painted.

        Examples:
            >>> swap = Swap({"red cell": ["white cell", "platelet"]}, sizes={"white cell": 180, "platelet": 40})
            >>> swap.can_become([("red cell", (0, 0, 100, 90)), ("red cell", (0, 0, 130, 140))])
            {'red cell': {'white cell': 1, 'platelet': 0}}
        """
        found: dict[Any, dict[Any, int]] = {}
        for label, box in checked_boxes(boxes):
            others = [target for target in self.targets_of(label) if target != label]
            if not others:
                continue
            counts = found.setdefault(label, dict.fromkeys(others, 0))
            if min(sides(box)) >= min_box_size:
                for target in set(self.options(label, box)) - {label}:
                    counts[target] += 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """The swap as JSON values; ``of`` reads it back."""
        return {"targets": dict(self.targets), "sizes": dict(self.sizes), "max_size_ratio": self.max_size_ratio}

    def labels(self) -> set[Any]:
        """Every label that an edit can give."""
        return {target for source in self.targets for target in self.targets_of(source)}

    def options(self, label: Label, box: Box) -> dict[Any, float]:
        """What a box of this label may become, with weights; empty where it has targets and fits none of them.

        Every box fits the class that it has.
        """
        size = math.sqrt(math.prod(sides(box)))
        return {
            target: weight
            for target, weight in self.targets_of(label).items()
            if target == label or self._fits(target, size)
        }

    def draw(self, label: Label, box: Box, rng: random.Random) -> Label:
        """Draw one of the ``options``, of which there must be one.

        Returns:
            The new label; a source's own label where nothing changes.
        """
        # In an order of their own: a file of settings may have sorted them.
        options = sorted(
            self.options(label, box).items(), key=lambda option: (type(option[0]).__name__, str(option[0]))
        )
        targets, weights = zip(*options, strict=True)
        [target] = rng.choices(targets, weights)
        drawn: Label = target
        return drawn

    def targets_of(self, label: Label) -> dict[Any, float]:
        """What a box of this label may become, whatever its size, with weights."""
        found = lookup(self.targets, label)
        if found is None:
            return {label: 1.0}
        return {_like(label, target): weight for target, weight in _weights(found).items()}

    def _fits(self, label: Label, size: float) -> bool:
        typical = lookup(self.sizes, label)
        return typical is None or max(size, typical) <= min(size, typical) * self.max_size_ratio


def _weights(targets: Any) -> dict[Any, float]:
    if isinstance(targets, Mapping):
        return {label: float(weight) if _positive(weight) else 0.0 for label, weight in targets.items()}
    labels = targets if isinstance(targets, Sequence) and not isinstance(targets, str) else [targets]
    return dict.fromkeys(labels, 1.0)


def _like(source: Label, target: Label) -> Label:
    """A target in the type of its source's label: JSON turns the integer keys of a mapping into strings."""
    if isinstance(source, int | float) and isinstance(target, str) and target.lstrip("-").isdecimal():
        return int(target)
    return target


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def checked_boxes(boxes: Iterable[tuple[Label, Box]]) -> Iterator[tuple[Label, Box]]:
    """Labelled boxes, each with its corners in order; empty ones are.

    Raises:
        ValueError: A box is none; the message names it.
    """
    for label, box in boxes:
        if len(box) != 4 or not (box[0] <= box[2] and box[1] <= box[3]):
            raise ValueError(
                f"boxes has {box!r} of label {label!r}: give corners in pixels, x0, y0, x1, y1, with x0 <= x1 and "
                f"y0 <= y1; COCO's x, y, width, height are x, y, x + width, y + height"
            )
        yield label, box


def class_counts(boxes: Iterable[tuple[Label, Box]]) -> dict[Label, int]:
    """How many boxes of each class there are, for ``Swap.balanced``.

    Args:
        boxes: The labels and pixel boxes of a data set.
    """
    counts: dict[Label, int] = {}
    for label, _ in boxes:
        counts[label] = counts.get(label, 0) + 1
    return counts


def class_sizes(boxes: Iterable[tuple[Label, Box]]) -> dict[Label, float]:
    """The median size of each class, for ``Swap(sizes=...)``.

    Args:
        boxes: The labels and pixel boxes of a data set; empty boxes do not count.

    Returns:
        Square root of the box area in pixels, by label.

    Examples:
        >>> class_sizes([("car", (0, 0, 90, 40)), ("car", (0, 0, 50, 50)), ("car", (0, 0, 10, 10))])
        {'car': 50.0}
    """
    found: dict[Label, list[float]] = {}
    for label, box in checked_boxes(boxes):
        if area := math.prod(sides(box)):
            found.setdefault(label, []).append(math.sqrt(area))
    return {label: statistics.median(sizes) for label, sizes in found.items()}
