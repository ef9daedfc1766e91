"""The preview as a page: each repainted box under a slider that uncovers it, with prompt, seed and verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.measure import coverage
from inpaint_transform.datasets.preview import words
from inpaint_transform.reports import drawing
from inpaint_transform.reports import page as pages

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.boxes import Box
    from inpaint_transform.core.edit import Outcome
    from inpaint_transform.datasets.preview import PaintedRow

# Longer side of what is shown: a close-up is larger than on a sheet, but 12 megapixels are no close-up.
CLOSE_UP, WHOLE = 512, 1024


def page(rows: Iterable[PaintedRow], title: str) -> str:
    """The page as HTML; it needs no network.

    Args:
        rows: What was painted; each is drawn when it is taken from the iterable.
        title: Any text.
    """
    return pages.render("preview", title=title, rows=map(_row, rows))


def _row(painted: PaintedRow) -> dict[str, Any]:
    found = painted.row.annotation
    scale = min(1.0, WHOLE / max(painted.image.shape[:2]))
    boxes = [
        (round(x0 * scale), round(y0 * scale), round(x1 * scale), round(y1 * scale)) for x0, y0, x1, y1 in found.boxes
    ]
    shrunk = drawing.shrunk(painted.image, WHOLE)
    return {
        "name": found.image.name,
        "picture": pages.data_uri(drawing.labelled(shrunk, boxes, list(found.labels), focus=painted.row.index)),
        "variants": [_variant(outcome) for outcome in painted.outcomes],
    }


def _variant(outcome: Outcome) -> dict[str, Any]:
    edit, after = outcome.edit, outcome.after()
    box = edit.box_in_window
    label = str(edit.label) if edit.new_label is None else f"{edit.label} → {edit.new_label}"
    facts = [label, f"seed {outcome.seed}", f"attempts {outcome.attempts}"]
    if after is not None and "fill" not in outcome.scores:
        facts.append(f"fill {coverage(outcome.before, after, box):.2f}")
    return {
        "label": label,
        "prompt": edit.prompt,
        "before": _close_up(outcome.before, box),
        "after": None if after is None else _close_up(after, box),
        "facts": " · ".join(facts),
        "accepted": outcome.accepted,
        "verdict": words(outcome),
    }


def _close_up(window: np.ndarray, box: Box) -> str:
    return pages.data_uri(drawing.shrunk(drawing.bracketed(window, box), CLOSE_UP))
