"""Gates that look at the pixels alone: how much changed, and whether it fills the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.measure import coverage
from inpaint_transform.core.protocol import Candidate
from inpaint_transform.gates.base import Gate, check_number


@known_fields
@dataclass(frozen=True)
class ChangeGate(Gate):
    """Rejects boxes in which nearly nothing changed, and changes outside the box.

    The score is the mean absolute change inside the box in grey levels.

    Attributes:
        min_inside: Least mean change inside the box, in grey levels.
        max_outside: Largest mean change in the rest of the window, in grey levels.

    Examples:
        >>> import numpy as np
        >>> before = np.full((40, 40, 3), 90, np.uint8)
        >>> after = before.copy()
        >>> after[10:30, 10:30] = 140
        >>> ChangeGate().judge([Candidate(before, after, (10, 10, 30, 30))])[0].score
        50.0
    """

    # The embedded model changes a box by 5 or more when it repaints it, by 3 when its autoencoder merely passes it on.
    min_inside: float = 5.0
    max_outside: float = 0.5

    name = "change"
    threshold = "min_inside"

    def __post_init__(self) -> None:
        check_number("min_inside", self.min_inside, 0, 255)
        check_number("max_outside", self.max_outside, 0, 255)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Mean changes, judged inside and outside the boxes."""
        found = []
        for one in candidates:
            change = cv2.absdiff(one.original, one.painted)
            x0, y0, x1, y1 = one.box
            inside = float(change[y0:y1, x0:x1].mean())
            elsewhere = change.size - change[y0:y1, x0:x1].size
            outside = (float(change.sum()) - inside * change[y0:y1, x0:x1].size) / elsewhere if elsewhere else 0.0
            found.append((inside, inside >= self.min_inside and outside <= self.max_outside))
        return found


@known_fields
@dataclass(frozen=True)
class FillGate(Gate):
    """Rejects objects that do not fill their box: a detector would learn a box that is too large.

    The score is ``core.measure.coverage``.

    Attributes:
        min_fill: The least fill to accept, in [0, 1].
    """

    # Good repaintings by the embedded model lie above 0.6; below 0.4 lie the ones that kept most of the old picture.
    min_fill: float = 0.4

    name = "fill"
    threshold = "min_fill"

    def __post_init__(self) -> None:
        check_number("min_fill", self.min_fill, 0, 1)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Coverages, judged."""
        scores = [coverage(one.original, one.painted, one.box) for one in candidates]
        return [(score, score >= self.min_fill) for score in scores]
