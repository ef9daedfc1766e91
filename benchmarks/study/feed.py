"""What a training sees: pictures of the draw with patches of the bank in them, then what is done to pictures anyway.

All arms of a draw see the same pictures in the same order, mirrored and moved alike: order, movement and painting each
have a stream of random numbers of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.study.classical import LEVELS, Example
from benchmarks.study.patches import Patch
from benchmarks.study.sets import Seen

# A patch of which more than this share lies on another one is not put in.
MAX_SHARED = 0.1
# Of the boxes of a class: some always stay as they were.
MAX_P = 0.7


@dataclass(eq=False)
class Layer:
    """Patches, and how often each box gets one.

    Attributes:
        patches: Of each picture, the patches of each slot.
        p: Of each picture, with which probability a slot is drawn.
        placed: Instead of ``p``: how many new objects a picture gets on average.
        looks: How many patches of a slot are in use at a time; 0 for all.
        echo: Uses after which one of these gives way to the next; 0 for never.
    """

    patches: list[dict[int, list[Patch]]]
    p: list[dict[int, float]]
    placed: float | None = None
    looks: int = 0
    echo: int = 0
    _uses: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def draw(self, row: int, rng: np.random.Generator) -> list[Patch]:
        """The patches of one showing of a picture; of new objects more than are wanted, for some will meet."""
        slots = self.patches[row]
        if self.placed is not None:
            return [slots[slot][0] for slot in rng.permutation(sorted(slots)).tolist()]
        return [self._look(row, slot, rng) for slot in sorted(slots) if rng.random() < self.p[row][slot]]

    def _look(self, row: int, slot: int, rng: np.random.Generator) -> Patch:
        """One of the looks in use; once it was shown ``echo`` times the next one takes its place."""
        every = self.patches[row][slot]
        looks = min(self.looks or len(every), len(every))
        look = int(rng.integers(looks))
        uses = self._uses[row, slot, look]
        self._uses[row, slot, look] += 1
        generation = uses // self.echo if self.echo else 0
        return every[(look + looks * generation) % len(every)]


def by_slot(patches: Sequence[Patch], rows: int, accepted_only: bool) -> list[dict[int, list[Patch]]]:
    """The patches of each picture by slot."""
    found: list[dict[int, list[Patch]]] = [{} for _ in range(rows)]
    for patch in patches:
        if patch.accepted or not accepted_only:
            found[patch.row].setdefault(patch.slot, []).append(patch)
    return found


def shares(weights: Sequence[Mapping[int, float]], wanted: float) -> list[dict[int, float]]:
    """Probabilities in proportion to weights whose sum is as wanted, none above ``MAX_P``.

    Args:
        weights: Of each picture's slots, at least 0.
        wanted: How many slots are drawn in one showing of all pictures, on average.
    """
    flat = np.array([weight for row in weights for weight in row.values()], float)
    found = np.zeros_like(flat)
    left = flat > 0
    for _ in range(len(flat)):
        rest = wanted - found[~left].sum()
        if not left.any() or rest <= 0:
            break
        found[left] = flat[left] * rest / flat[left].sum()
        full = left & (found >= MAX_P)
        if not full.any():
            break
        found[full] = MAX_P
        left &= ~full
    values = iter(found.tolist())
    return [{slot: next(values) for slot in row} for row in weights]


@dataclass(eq=False)
class Feed:
    """Batches of a training.

    Attributes:
        seen: The draw's pictures, and behind them those of an oracle.
        layer: What is painted into the draw's; None for nothing.
        level: What is done to pictures anyway.
        weights: How often a picture is shown against the others.
        seed: Decides on everything.
        changed: How many boxes were painted so far, by the position of their class.
    """

    seen: list[Seen]
    layer: Layer | None
    level: str
    weights: np.ndarray
    seed: int
    changed: Counter[int] = field(default_factory=Counter)
    shown: int = 0

    @property
    def shares(self) -> np.ndarray:
        """How often each picture is shown, be it alone or in a mosaic; their sum is 1."""
        return self.weights / self.weights.sum()

    def batch(self, step: int, size: int) -> list[Example]:
        """The examples of one step."""
        order = np.random.default_rng((self.seed, 1, step))
        rows = order.choice(len(self.seen), size, p=self.shares)
        return [self._example(int(row), step, number) for number, row in enumerate(rows)]

    def _example(self, row: int, step: int, number: int) -> Example:
        classical = np.random.default_rng((self.seed, 2, step, number))
        painting = np.random.default_rng((self.seed, 3, step, number))

        def other() -> Example:
            return self.compose(int(classical.choice(len(self.seen), p=self.shares)), painting)

        return LEVELS[self.level](self.compose(row, painting), other, classical)

    def compose(self, row: int, rng: np.random.Generator) -> Example:
        """One showing of a picture with its patches."""
        seen = self.seen[row]
        self.shown += 1
        pixels, boxes, classes = seen.pixels, seen.boxes, seen.classes
        layer = self.layer
        if layer is None or row >= len(layer.patches):
            return pixels, boxes, classes
        taken = np.zeros(pixels.shape[:2], bool)
        pixels, boxes, classes = pixels.copy(), boxes.copy(), classes.copy()
        room = len(boxes) if layer.placed is None else int(rng.poisson(layer.placed))
        for patch in layer.draw(row, rng):
            if not room:
                break
            height, width = patch.changed.shape
            part = np.s_[patch.corner[1] : patch.corner[1] + height, patch.corner[0] : patch.corner[0] + width]
            if (taken[part] & patch.changed).sum() > MAX_SHARED * patch.changed.sum():
                continue
            np.copyto(pixels[part], patch.pixels, where=patch.changed[..., None])
            taken[part] |= patch.changed
            if patch.slot >= 0:
                classes[patch.slot] = patch.kind
            else:
                boxes, classes = np.vstack([boxes, patch.box]), np.append(classes, patch.kind)
            self.changed[patch.kind] += 1
            room -= 1
        return pixels, boxes, classes


def repeat_factors(seen: Sequence[Seen], classes: int) -> np.ndarray:
    """How often each picture is shown by the boxes of its rarest class (after Gupta et al., 1908.03195).

    The share of a class is that of its boxes, not of the pictures that have it: here every picture has most classes.
    """
    counts = np.bincount(np.concatenate([one.classes for one in seen]), minlength=classes)
    rate = np.maximum(1.0, np.sqrt(counts.sum() / classes / np.maximum(counts, 1)))
    return np.array([rate[one.classes].max(initial=1.0) for one in seen])
