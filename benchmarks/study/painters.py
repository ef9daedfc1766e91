"""Painters that stand beside a generator: what copy-paste and an autoencoder alone do to the same boxes.

They answer the same requests as a model, so windows, masks, borders and blending are those of the transform, and arms
differ by the painted pixels alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inpaint_transform.core import crops
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult
from inpaint_transform.fit.pictures import Sample, read_picture

# Side of the crop that is pasted into, in pixels; no model asks for a smaller one.
PASTE_SIZE = 256
# As class swaps have it: a donor is so many times smaller or larger than the box at most, where there is such a one.
MAX_SIZE_RATIO = 1.5


class _Painter:
    """What every painter of the study has that does not paint in the background."""

    size: int

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        raise NotImplementedError

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """There is no background here."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}

    def close(self) -> None:
        """Nothing is held."""


class RoundTripPainter(_Painter):
    """Gives back what an autoencoder makes of the crop: no new content, only what painting does besides.

    Args:
        round_trip: The autoencoder on ``(B, S, S, 3)`` uint8 crops.
        size: Side of the working crop in pixels.
    """

    def __init__(self, round_trip: Callable[[np.ndarray], np.ndarray], size: int) -> None:
        self.size = size
        self._round_trip = round_trip

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """See the class."""
        return [InpaintResult(self._round_trip(request.image[None])[0]) for request in requests]


class Donors:
    """Real objects to paste, by class.

    Args:
        samples: The pictures that they are cut from: those of the draw, and no others.
        min_side: Of a donor, in pixels.
    """

    def __init__(self, samples: Sequence[Sample], min_side: int) -> None:
        self.by_label: dict[Any, list[np.ndarray]] = {}
        for sample in samples:
            picture = read_picture(sample.image)
            for (x0, y0, x1, y1), label in zip(sample.boxes, sample.labels, strict=True):
                if min(x1 - x0, y1 - y0) >= min_side:
                    self.by_label.setdefault(label, []).append(picture[y0:y1, x0:x1].copy())

    def draw(self, label: Any, box: Box | None, rng: random.Random) -> np.ndarray:
        """An object of a class: one of about the size of a box, or any one where there is none or no box is given."""
        known = self.by_label[label]
        if box is None:
            return rng.choice(known)
        return rng.choice([donor for donor in known if _ratio(donor, box) <= MAX_SIZE_RATIO] or known)


def _ratio(donor: np.ndarray, box: Box) -> float:
    return max(max(a, b) / min(a, b) for a, b in zip(sides(box), donor.shape[1::-1], strict=True))


class PastePainter(_Painter):
    """Pastes real objects, stretched to the box.

    A request does not say where its box is, since a neighbour may cover a part of it: the edits are announced first.
    """

    size = PASTE_SIZE

    def __init__(self) -> None:
        self._wanted: dict[int, tuple[Box, np.ndarray]] = {}

    def announce(self, edits: Sequence[Edit], donors: Sequence[np.ndarray]) -> None:
        """Say what goes where; a request is known by its seed."""
        for edit, donor in zip(edits, donors, strict=True):
            self._wanted[edit.seed] = crops.scaled_box(edit.box, edit.window, self.size), donor

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """See the class."""
        results = []
        for request in requests:
            (x0, y0, x1, y1), donor = self._wanted[request.seed]
            image = request.image.copy()
            shrinks = donor.shape[0] * donor.shape[1] > (x1 - x0) * (y1 - y0)
            image[y0:y1, x0:x1] = cv2.resize(
                donor, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            )
            results.append(InpaintResult(image))
        return results


def place(
    picture: np.ndarray, taken: Sequence[Box], label: Any, donors: Donors, rng: random.Random, tries: int = 60
) -> tuple[Box, np.ndarray] | None:
    """Find a place for one more object: in the picture, and where no box is.

    Args:
        picture: ``(H, W, 3)`` uint8.
        taken: The boxes that are there.
        label: Of the new object.
        donors: Where it is cut from.
        rng: Source of the draws.
        tries: After so many places there is none.

    Returns:
        The new box and the object, or None.
    """
    height, width = picture.shape[:2]
    for _ in range(tries):
        donor = donors.draw(label, None, rng)
        scale = rng.uniform(0.8, 1.25)
        wide, high = (max(1, round(side * scale)) for side in donor.shape[1::-1])
        if wide > width or high > height:
            continue
        x0, y0 = rng.randint(0, width - wide), rng.randint(0, height - high)
        box = (x0, y0, x0 + wide, y0 + high)
        if not any(_touch(box, other) for other in taken):
            return box, donor
    return None


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def scrambled(nouns: Mapping[str, str]) -> dict[str, str]:
    """Each class called as another one is."""
    labels = sorted(nouns)
    return {label: nouns[other] for label, other in zip(labels, [*labels[1:], labels[0]], strict=True)}
