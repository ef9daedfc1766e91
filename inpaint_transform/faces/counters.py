"""Counts of what a transform did in this process."""

from __future__ import annotations

import threading
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.labels import Label
from inpaint_transform.serving.forks import call_after_fork

# Below this many edits a reject rate says nothing.
ENOUGH_EDITS = 20


class Tally:
    """Thread-safe counters. A pickled or copied tally starts at zero: it counts what its own process did."""

    def __init__(self) -> None:
        self._unlock()
        call_after_fork(self, Tally._unlock)
        self._counts: Counter[str] = Counter()
        self._classes: defaultdict[Label, Counter[str]] = defaultdict(Counter)
        self._warned: set[str] = set()

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Tally, ()

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Count the outcomes of some edits; warns once when more than half of them kept their original pixels."""
        with self._lock:
            for outcome in outcomes:
                for counts in (self._counts, self._classes[outcome.edit.target]):
                    counts["edits"] += 1
                    counts["attempts"] += outcome.attempts
                    counts[_verdict(outcome)] += 1
            edits, accepted = self._counts["edits"] - self._counts["cold"], self._counts["accepted"]
        if edits >= ENOUGH_EDITS and accepted * 2 < edits:
            self.warn_once(
                "rejects",
                f"{edits - accepted} of {edits} painted boxes were rejected and keep their original pixels; "
                f"see stats() for the reasons",
            )

    def count_error(self, error: Exception) -> None:
        """Count an image that kept its original pixels because painting failed, and warn the first time."""
        with self._lock:
            self._counts["errors"] += 1
        self.warn_once(
            "errors", f"painting failed and the original image is used (on_error='skip'): {error}; see stats()"
        )

    def warn_once(self, key: str, message: str) -> None:
        """Issue a warning the first time this key comes up."""
        with self._lock:
            if key in self._warned:
                return
            self._warned.add(key)
        warnings.warn(message, RuntimeWarning, stacklevel=3)

    def counts(self) -> dict[str, int]:
        """A snapshot of the counters."""
        with self._lock:
            return dict(self._counts)

    def classes(self) -> dict[str, dict[str, int]]:
        """The same by the class that was painted."""
        with self._lock:
            return {str(label): dict(counts) for label, counts in self._classes.items()}


def _verdict(outcome: Outcome) -> str:
    if outcome.reuse == "cold":  # not painted yet, which nobody has judged
        return "cold"
    return "accepted" if outcome.accepted else f"rejected: {outcome.reason}"
