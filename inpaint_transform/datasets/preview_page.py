"""The preview as a page: each repainted box under a slider that uncovers it, with prompt, seed and verdict."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from inpaint_transform.core.measure import coverage
from inpaint_transform.datasets.preview import words
from inpaint_transform.reports import drawing as pictures
from inpaint_transform.reports import page as pages

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.boxes import Box
    from inpaint_transform.core.edit import Outcome
    from inpaint_transform.datasets.preview import PaintedRow

# Close-ups are shown larger than on a sheet, but 12 megapixels are no close-up.
_LONGEST = 512
_STYLE = """
.whole { width: auto; } .whole img { max-width: 28rem; } section { margin-bottom: 3rem; }
.stack { display: grid; } .stack img { grid-area: 1 / 1; }
.stack .before { clip-path: inset(0 var(--hidden, 50%) 0 0); }
figure input { width: 100%; margin: .4rem 0 0; } .ends { display: flex; justify-content: space-between; }
"""
_SCRIPT = """<script>
for (const slider of document.querySelectorAll("input[type=range]"))
  slider.addEventListener("input", () =>
    slider.previousElementSibling.style.setProperty("--hidden", 100 - slider.value + "%"));
</script>"""


def page(rows: Iterable[PaintedRow], title: str) -> str:
    """The page as HTML; it needs no network.

    Args:
        rows: What was painted; each is drawn when it is drawn from the iterable.
        title: Any text.
    """
    sections = "\n".join(_section(row) for row in rows)
    return pages.frame(title, f"<h1>{html.escape(title)}</h1>\n{sections}\n{_SCRIPT}", _STYLE)


def _section(painted: PaintedRow) -> str:
    annotation, index = painted.row.annotation, painted.row.index
    marked = pictures.labelled(
        pictures.shrunk(painted.image, 2 * _LONGEST), *_scaled_boxes(painted, 2 * _LONGEST), focus=index
    )
    name = html.escape(annotation.image.name)
    whole = f'<figure class="whole">{pages.picture(marked, f"{name} with its boxes")}</figure>'
    figures = "".join(_figure(outcome) for outcome in painted.outcomes)
    return f'<section><h2>{name}</h2>{whole}<div class="row">{figures}</div></section>'


def _scaled_boxes(painted: PaintedRow, longest: int) -> tuple[list[Box], list[str]]:
    scale = min(1.0, longest / max(painted.image.shape[:2]))
    boxes = [
        (round(x0 * scale), round(y0 * scale), round(x1 * scale), round(y1 * scale))
        for x0, y0, x1, y1 in painted.row.annotation.boxes
    ]
    return boxes, list(painted.row.annotation.labels)


def _close_up(window: np.ndarray, box: Box) -> np.ndarray:
    return pictures.shrunk(pictures.bracketed(window, box), _LONGEST)


def _figure(outcome: Outcome) -> str:
    after = outcome.after()
    edit = outcome.edit
    box = edit.box_in_window
    label = str(edit.label) if edit.new_label is None else f"{edit.label} → {edit.new_label}"
    stack = pages.picture(_close_up(outcome.before, box), f"{label}, before", "before")
    ends = slider = measured = ""
    if after is not None:
        stack = pages.picture(_close_up(after, box), f"{label}, after: {edit.prompt}") + stack
        # Above the picture, where they name its sides: the original lies left of the slider's handle.
        ends = '<div class="ends faint"><span>before</span><span>after</span></div>'
        slider = '<input type="range" min="0" max="100" value="50" aria-label="how much of the original to show">'
        if "fill" not in outcome.scores:
            measured = f" · fill {coverage(outcome.before, after, box):.2f}"
    verdict = f'<span class="{"faint" if outcome.accepted else "alert"}">{html.escape(words(outcome))}</span>'
    facts = (
        f'<span class="faint">{html.escape(label)} · seed {outcome.seed} · attempts {outcome.attempts}{measured}</span>'
    )
    caption = f"<figcaption>{html.escape(edit.prompt)}<br>{facts}<br>{verdict}</figcaption>"
    return f'<figure>{ends}<div class="stack">{stack}</div>{slider}{caption}</figure>'
