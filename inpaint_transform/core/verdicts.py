"""Verdicts: what gates say of the first boxes, for a word of warning where they accept hardly any."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from inpaint_transform.core.edit import Outcome

# A gate that accepts less than this share of so many boxes does not fit the model, or the other way round.
HOPELESS_EDITS = 30
HOPELESS_SHARE = 0.1


class Verdicts:
    """Counts verdicts. Whoever does so in several threads holds a lock."""

    def __init__(self) -> None:
        self._edits = 0
        self._accepted = 0
        self._scores: defaultdict[str, list[float]] = defaultdict(list)
        self._told = False

    def add(self, outcomes: Iterable[Outcome], gate: object) -> str | None:
        """Count some outcomes.

        Args:
            outcomes: What became of edits; those that are not painted yet do not count.
            gate: What to say of who judged them, or None where nobody did.

        Returns:
            What there is to say: once, as soon as it is plain that hardly anything is accepted, and else None.
        """
        for outcome in outcomes:
            if outcome.reuse == "cold":
                continue
            self._edits += 1
            self._accepted += outcome.accepted
            for name, score in outcome.scores.items():
                if len(self._scores[name]) < HOPELESS_EDITS:
                    self._scores[name].append(score)
        few = self._edits >= HOPELESS_EDITS and self._accepted < HOPELESS_SHARE * self._edits
        if gate is None or self._told or not few:
            return None
        self._told = True
        scores = ", ".join(f"{name} {statistics.median(found):.3g}" for name, found in self._scores.items())
        return (
            f"only {self._accepted} of {self._edits} painted boxes were accepted, so hardly anything is ever changed: "
            f"median scores are {scores or 'unknown'}, the gate is {gate}; lower its threshold or use another model"
        )
