"""Counts of what a transform did in this process."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.labels import ClassNames, Label, class_name
from inpaint_transform.core.nearest import nearest
from inpaint_transform.core.user_warning import warn_user
from inpaint_transform.core.verdicts import Verdicts
from inpaint_transform.serving.forks import call_after_fork

# Below this many edits a reject rate says nothing.
ENOUGH_EDITS = 20
# So many samples in a row without a box that may be painted are no chance.
ENOUGH_SAMPLES = 100
# So many samples of one epoch are more than a look at the data: a training has begun, and nobody counts its epochs.
MANY_SAMPLES = 1000
# "sedna" and "sedan" are 0.8 alike, "cat" and "car" 0.67.
LIKE_A_TYPO = 0.75


class Tally:
    """Thread-safe counters. A pickled or copied tally starts at zero: it counts what its own process did."""

    def __init__(self) -> None:
        self._unlock()
        call_after_fork(self, Tally._unlock)
        self._counts: Counter[str] = Counter()
        self._classes: defaultdict[Label, Counter[str]] = defaultdict(Counter)
        self._unpainted: Counter[str] = Counter()
        self._verdicts = Verdicts()
        self._warned: set[str] = set()
        self._labels: set[Label] = set()
        self._labelled = 0
        self._untold = 0

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Tally, ()

    def count(self, outcomes: Iterable[Outcome], gate: str | None = None) -> None:
        """Count the outcomes of some edits; warns once of a high reject rate, and once of a hopeless one.

        Args:
            outcomes: What became of the edits.
            gate: What to say of the gate that judged them, or None.
        """
        outcomes = list(outcomes)
        with self._lock:
            for outcome in outcomes:
                for counts in (self._counts, self._classes[outcome.edit.target]):
                    counts["edits"] += 1
                    counts["attempts"] += outcome.attempts
                    counts[_verdict(outcome)] += 1
            edits, accepted = self._counts["edits"] - self._counts["cold"], self._counts["accepted"]
            hopeless = self._verdicts.add(outcomes, gate)
        if hopeless is not None:
            self.warn_once("hopeless", hopeless)
        elif edits >= ENOUGH_EDITS and accepted * 2 < edits:
            self.warn_once(
                "rejects",
                f"{edits - accepted} of {edits} painted boxes were rejected and keep their original pixels; "
                f"see stats() for the reasons",
            )

    def count_unpainted(self, reasons: Iterable[str]) -> None:
        """Count a sample that was to be painted and has no box for it; warns once where no sample ever had one.

        Args:
            reasons: Why not, for each of its boxes.
        """
        with self._lock:
            self._unpainted["samples"] += 1
            self._unpainted.update(reasons)
            samples, some = self._unpainted["samples"], self._counts["edits"] > 0
            words = ", ".join(f"{why} {count}" for why, count in self._unpainted.most_common() if why != "samples")
        if samples >= ENOUGH_SAMPLES and not some:
            self.warn_once(
                "unpainted", f"none of {samples} samples had a box that may be painted, for these reasons: {words}"
            )

    def see(self, labels: Sequence[Label], chosen: Mapping[str, Sequence[str]]) -> None:
        """Count a sample with boxes; warns once of each setting that by then has a class which only looks like a label.

        Args:
            labels: The sample's labels.
            chosen: The names of classes that settings choose by, by setting.
        """
        if self._labelled >= ENOUGH_SAMPLES:
            return
        with self._lock:
            self._labels.update(labels)
            self._labelled += 1
            names = sorted(label for label in self._labels if isinstance(label, str))
            done = self._labelled == ENOUGH_SAMPLES
        if not done:
            return
        for setting, words in chosen.items():
            # What a setting names rightly is not what another of its words should have been.
            others = [name for name in names if name not in words]
            for word in words:
                if word not in names and (hint := nearest(word, others, LIKE_A_TYPO)):
                    self.warn_once(
                        f"{setting}: {word}",
                        f"{setting} has {word!r}, and no box of {ENOUGH_SAMPLES} samples is labelled so{hint}",
                    )

    def count_untold(self) -> None:
        """Count a sample that a schedule decides about although nobody has set an epoch; warns once of many."""
        with self._lock:
            self._untold += 1
            many = self._untold >= MANY_SAMPLES
        if many:
            self.warn_once(
                "schedule",
                f"schedule goes by epochs, and after {MANY_SAMPLES} samples set_epoch was never called, so every epoch "
                f"is the first; call set_epoch(n) of the transform before each",
            )

    def count_error(self, what: str, error: Exception) -> None:
        """Count a failure that was passed over, and warn the first time.

        Args:
            what: What failed, and what follows, as the beginning of a sentence.
            error: How.
        """
        with self._lock:
            self._counts["errors"] += 1
        self.warn_once(f"errors: {what}", f"{what} (on_error='skip'): {error}; see stats()")

    def warn_once(self, key: str, message: str) -> None:
        """Issue a warning the first time this key comes up."""
        with self._lock:
            if key in self._warned:
                return
            self._warned.add(key)
        warn_user(message)

    def counts(self) -> dict[str, int]:
        """A snapshot of the counters."""
        with self._lock:
            return dict(self._counts)

    def unpainted(self) -> dict[str, int]:
        """How many samples were to be painted and had no box for it, and why not, by box."""
        with self._lock:
            return dict(self._unpainted)

    def classes(self, class_names: ClassNames = None) -> dict[str, dict[str, int]]:
        """The same by the class that was painted, of an id by its name in ``class_names``."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        with self._lock:
            for label, counts in self._classes.items():
                found[class_name(label, class_names)].update(counts)
        return {name: dict(counts) for name, counts in found.items()}


def _verdict(outcome: Outcome) -> str:
    if outcome.reuse == "cold":  # not painted yet, which nobody has judged
        return "cold"
    return "accepted" if outcome.accepted else f"rejected: {(outcome.reason or '').removeprefix('rejected ')}"
