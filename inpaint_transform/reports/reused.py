"""Reused: what a log says of looks that were used again."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from inpaint_transform.reports.log import Record


@dataclass
class Reused:
    """Looks in a log.

    Attributes:
        kinds: How many edits were a ``"hit"``, ``"painted"`` or ``"cold"``.
        accepted: How many of them are in an image.
        uses: How often each look was used: a variant of an object, in one of its generations.
        objects: The objects.
        ages: For each hit, how many epochs after the look was first seen.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    uses: Counter[tuple[str, int]] = field(default_factory=Counter)
    objects: set[str] = field(default_factory=set)
    ages: list[int] = field(default_factory=list)
    _first: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, record: Record) -> None:
        """Count an edit, where it has to do with reuse."""
        if record.reuse is None:
            return
        self.kinds[record.reuse] += 1
        self.accepted += record.accepted
        look = record.edit.look
        if look is None or record.reuse == "cold":
            return
        key = look.slot, look.generation
        if key not in self.uses:
            self._first[key] = record.epoch
        self.uses[key] += 1
        self.objects.add(look.content)
        if record.reuse == "hit":
            self.ages.append(max(0, record.epoch - self._first[key]))

    def words(self) -> list[str]:
        """Sentences; none where nothing was reused."""
        drawn = self.kinds.total()
        if not drawn:
            return []
        said = ", ".join(f"{self.kinds[kind]} {kind}" for kind in ("hit", "painted", "cold"))
        lines = [f"Reuse: {drawn} edits drawn ({said}), of which {self.accepted / drawn:.0%} are in an image"]
        if self.objects:
            a_look = len(self.uses) / len(self.objects)
            lines.append(
                f"{len(self.uses)} looks of {len(self.objects)} objects ({a_look:.1f} each), each used "
                f"{statistics.fmean(self.uses.values()):.1f} times"
                + (f", in the median {statistics.median(self.ages):g} epochs after it came" if self.ages else "")
            )
        return lines
