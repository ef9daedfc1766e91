"""Scores: what a gate said of the edits of a log, and how many would be kept with another threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inpaint_transform.reports.log import Record

BINS = 20
# Thresholds to try, over the range of the scores.
STEPS = 100
# More of them are lines that nobody can tell apart.
MAX_LINES = 5
# Where the bars are in the drawing.
LEFT, WIDTH = 10, 280
# Wider than any gate's scores, and narrow enough that no sum overflows.
WIDEST = 1e9


@dataclass
class Scores:
    """What one gate said.

    Attributes:
        accepted: Scores of the edits that were accepted.
        rejected: Of those that were rejected, by this gate or another.
        turned_away: Of those among them that this gate itself rejected for their score.
        thresholds: The thresholds that it had, in the order in which they occur.
        field_name: The field that holds them, or None where no line says so.
    """

    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    turned_away: list[float] = field(default_factory=list)
    thresholds: dict[float, None] = field(default_factory=dict)
    field_name: str | None = None

    def add(self, record: Record, gate: str) -> None:
        """Count an edit.

        Args:
            record: What a log says of it.
            gate: What its scores call this gate.
        """
        score = record.scores[gate]
        if not math.isfinite(score):
            return
        (self.accepted if record.accepted else self.rejected).append(score)
        threshold = None
        for name, value in record.thresholds.get(gate, {}).items():
            self.field_name, threshold = name, value
            self.thresholds[value] = None
        # A gate is asked about what those before it have accepted, so the last one asked is the one that rejected; and
        # what it rejected in spite of its score, another threshold would not bring back.
        judged_last = list(record.scores)[-1] == gate
        if not record.accepted and judged_last and (threshold is None or score < threshold):
            self.turned_away.append(score)

    def chart(self, edits: int, accepted: int) -> dict[str, Any]:
        """What the report draws: bars of a drawing 300 wide and 132 high, threshold lines, and what others would keep.

        Args:
            edits: Edits in the log, those included that came to no gate.
            accepted: How many of them were accepted, those included that this gate was not asked about.
        """
        values = np.clip([*self.accepted, *self.rejected], -WIDEST, WIDEST)
        lines = [float(np.clip(line, -WIDEST, WIDEST)) for line in list(self.thresholds)[-MAX_LINES:]]
        low, high = float(min([*values, *lines])), float(max([*values, *lines]))
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        below = np.histogram(values[: len(self.accepted)], edges)[0]
        above = np.histogram(values[len(self.accepted) :], edges)[0]
        scale = 100 / max(int((below + above).max()), 1)
        bars = []
        for number, (blue, red) in enumerate(zip(below.tolist(), above.tolist(), strict=True)):
            x, width = LEFT + number * WIDTH / BINS, WIDTH / BINS - 1
            for colour, count, base in (("#0069aa", blue, 0), ("#be1e2d", red, blue)):
                if count:
                    sizes = {"x": x, "y": 110 - (base + count) * scale, "width": width, "height": count * scale}
                    bars.append({"colour": colour, **{name: f"{value:.1f}" for name, value in sizes.items()}})
        across = float(edges[-1] - edges[0])
        drawn = [{"x": f"{LEFT + WIDTH * (line - low) / across:.1f}", "value": f"{line:g}"} for line in lines]
        trial = self._trial(low, low + across, lines, accepted) | {"low": low, "across": across, "edits": edits}
        return {"bars": bars, "lines": drawn, "low": f"{low:.2f}", "high": f"{low + across:.2f}", "trial": trial}

    def _trial(self, low: float, high: float, lines: list[float], all_accepted: int) -> dict[str, Any]:
        """For round thresholds over a range, and for its own, how many edits would be accepted and which would not."""
        # No margin below 0 can be asked for: then another class has won.
        low = max(low, 0.0) if self.field_name == "min_margin" else low
        high = max(low, high)
        step = _round_step((high - low) / STEPS)
        numbers = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
        steps = np.unique([*(float(f"{number:.6g}") for number in numbers), *lines])
        accepted, turned_away = (np.sort(scores) for scores in (self.accepted, self.turned_away))
        gone = np.searchsorted(accepted, steps, side="left")
        back = len(turned_away) - np.searchsorted(turned_away, steps, side="left")
        now = lines[-1] if lines else float(steps[0])
        return {
            "field": self.field_name or "score",
            "steps": steps.tolist(),
            "kept": (all_accepted - gone + back).tolist(),
            "gone": gone.tolist(),
            "start": int(np.searchsorted(steps, now)),
        }


def _round_step(least: float) -> float:
    """The least of 1, 2, 5, 10, ... (or tenths and so on of these) that is no less."""
    if not least > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= least)
