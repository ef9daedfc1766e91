"""Samples: labelled pictures as plain data, read when needed, and which of them are kept apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inpaint_transform.core import masks, selection
from inpaint_transform.core.boxes import Box, Outline, sides
from inpaint_transform.datasets.images import read_image

# Of the pictures, where the data set has no validation split of its own.
HELD_OUT_SHARE = 0.15
# In pixels of the shorter side: what is smaller says too little about how an object looks.
MIN_SIDE = 16


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        image: The picture's file.
        boxes: Half-open pixel boxes inside the picture.
        labels: One class name a box.
        outlines: The polygon of each object in image coordinates, None where there is none; empty for no polygons.
        others: Boxes of objects that are neither learnt nor painted: they keep their pixels, and are no background.
    """

    image: Path
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    outlines: tuple[Outline | None, ...] = ()
    others: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        if len(self.boxes) != len(self.labels):
            raise ValueError(
                f"{self.image}: {len(self.boxes)} boxes and {len(self.labels)} labels; give one label a box"
            )
        if self.outlines and len(self.outlines) != len(self.boxes):
            raise ValueError(f"{self.image}: {len(self.outlines)} outlines and {len(self.boxes)} boxes; give one a box")

    def usable(self) -> list[int]:
        """The positions of the boxes that are large enough to learn from."""
        return [index for index, box in enumerate(self.boxes) if min(sides(box)) >= MIN_SIDE]

    def paintable(self) -> list[int]:
        """Those of them that the transform would paint: their neighbours leave enough of them."""
        return [index for index in self.usable() if self.neighbours(index) is not None]

    def neighbours(self, index: int) -> tuple[Box, ...] | None:
        """The boxes whose pixels stay as they are when one is painted; None where they leave too little of it."""
        every = (*self.boxes, *self.others)
        kept = tuple(every[other] for other in selection.neighbours(index, every))
        return kept if masks.free_share(self.boxes[index], kept) >= selection.MIN_FREE_SHARE else None


def read_picture(path: Path) -> np.ndarray:
    """Read a picture as everything else does, see ``read_image``: ``(H, W, 3)`` uint8, RGB.

    Raises:
        ValueError: It is missing or is not a whole picture.
    """
    return read_image(path)


def of_labels(samples: Iterable[Sample], labels: Collection[str]) -> list[Sample]:
    """The same pictures, in which boxes of all other labels are ``others``."""
    found = []
    for sample in samples:
        rows = [index for index, label in enumerate(sample.labels) if label in labels]
        if len(rows) < len(sample.labels):
            other = tuple(box for box, label in zip(sample.boxes, sample.labels, strict=True) if label not in labels)
            sample = replace(
                sample,
                boxes=tuple(sample.boxes[row] for row in rows),
                labels=tuple(sample.labels[row] for row in rows),
                outlines=tuple(sample.outlines[row] for row in rows) if sample.outlines else (),
                others=(*sample.others, *other),
            )
        found.append(sample)
    return found


def count_labels(samples: Iterable[Sample]) -> dict[str, int]:
    """How many boxes large enough to learn from each class has, by class name."""
    counts = Counter(sample.labels[index] for sample in samples for index in sample.usable())
    return dict(sorted(counts.items()))


def split(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Keep some pictures apart, so that every class has boxes on both sides where it has more than one picture.

    Args:
        samples: All pictures.
        seed: Decides which.

    Returns:
        The pictures to train on and those held out. With a single picture nothing is held out.
    """
    # Ordered by what the files hold: who adds pictures, or fits a result further, meets nearly the same ones again, and
    # a picture that is there twice is on one side.
    alike: dict[str, list[int]] = {}
    for position, sample in enumerate(samples):
        alike.setdefault(hashlib.sha256(f"{seed} {content(sample)}".encode()).hexdigest(), []).append(position)
    order = [alike[name] for name in sorted(alike)]
    labels_of = [{label for position in group for label in samples[position].labels} for group in order]
    wanted = max(1, round(HELD_OUT_SHARE * len(samples)))
    left = Counter(label for labels in labels_of for label in labels)
    held: dict[int, None] = {}
    missing = {label for label, groups in left.items() if groups > 1}
    # Twice: first what brings a class that is still missing there, then whatever comes.
    for needed in (True, False):
        for group, labels in zip(order, labels_of, strict=True):
            spare = all(left[label] > 1 for label in labels)
            if group[0] in held or not spare or not (labels & missing if needed else len(held) < wanted):
                continue
            held.update(dict.fromkeys(group))
            missing -= labels
            left.subtract(labels)
    train = [sample for position, sample in enumerate(samples) if position not in held]
    return train, [samples[position] for position in held]


def content(sample: Sample) -> str:
    """A digest of a picture's bytes; the same whatever the file is called and however it is labelled."""
    return hashlib.sha256(sample.image.read_bytes()).hexdigest()[:16]


def digest(samples: Iterable[Sample]) -> str:
    """A digest of pictures' bytes, boxes and labels; the same whatever the folder is called and in any order."""
    rows = []
    for sample in samples:
        row = hashlib.sha256(sample.image.read_bytes())
        row.update(repr(sorted(zip(sample.boxes, sample.labels, strict=True))).encode())
        if sample.others:
            row.update(repr(sorted(sample.others)).encode())
        rows.append(row.hexdigest())
    return hashlib.sha256("".join(sorted(rows)).encode()).hexdigest()[:16]
