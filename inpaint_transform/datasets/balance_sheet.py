"""The balance sheet: of pictures, entries and boxes, how many were seen, how many used, and why others were left out.

Whoever reads a data set fills one and shows it, so that nothing vanishes without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inpaint_transform.datasets.formats.base import Annotation

KINDS = ("pictures", "entries", "boxes")


def _counts(annotation: Annotation) -> tuple[tuple[str, int], ...]:
    return (("pictures", 1), ("entries", annotation.entries), ("boxes", len(annotation.boxes)))


class BalanceSheet:
    """Counts of what a data set held and what became of it.

    Pictures are picture files; entries are label files, or the images that a COCO file lists.

    Examples:
        >>> balance = BalanceSheet()
        >>> balance.seen("boxes", 5)
        >>> balance.used("boxes", 3)
        >>> balance.left_out("boxes", "crowds", 2)
        >>> print(balance)
        pictures: 0 seen, 0 used
        entries: 0 seen, 0 used
        boxes: 5 seen, 3 used, 2 left out (2 crowds)
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._left: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._notes: Counter[str] = Counter()

    def seen(self, kind: str, count: int = 1) -> None:
        """Count what was found; ``kind`` is one of ``KINDS``."""
        self._seen[kind] += count

    def used(self, kind: str, count: int = 1) -> None:
        """Count what went into the result."""
        self._used[kind] += count

    def left_out(self, kind: str, reason: str, count: int = 1) -> None:
        """Count what did not go into the result, under a reason of a few words."""
        if count:
            self._left[kind][reason] += count

    def use(self, annotation: Annotation) -> None:
        """Count a picture that went into the result, with its entry and boxes."""
        for kind, count in _counts(annotation):
            self.used(kind, count)

    def lose(self, annotation: Annotation, reason: str) -> None:
        """Count a picture that was read and then left out, with its entry and boxes."""
        for kind, count in _counts(annotation):
            self.left_out(kind, reason, count)

    def note(self, text: str, count: int = 1) -> None:
        """Count something worth a line that is neither a loss nor a use."""
        self._notes[text] += count

    def missing(self, kind: str) -> int:
        """How many were seen and neither used nor left out for a reason: what was not reached, or is not accounted."""
        return self._seen[kind] - self._used[kind] - sum(self._left[kind].values())

    def to_dict(self) -> dict[str, Mapping[str, object]]:
        """The sheet as JSON values: ``{kind: {"seen": n, "used": n, "left_out": {reason: n}}}``."""
        return {
            kind: {"seen": self._seen[kind], "used": self._used[kind], "left_out": dict(self._reasons(kind))}
            for kind in KINDS
        }

    def _reasons(self, kind: str) -> Counter[str]:
        reasons = Counter(self._left[kind])
        if (rest := self.missing(kind)) > 0:
            reasons["not reached"] = rest
        return reasons

    def __str__(self) -> str:
        lines = []
        for kind in KINDS:
            line = f"{kind}: {self._seen[kind]} seen, {self._used[kind]} used"
            if reasons := self._reasons(kind):
                listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
                line += f", {sum(reasons.values())} left out ({listed})"
            lines.append(line)
        lines += [f"{text}: {count}" for text, count in self._notes.items()]
        return "\n".join(lines)
