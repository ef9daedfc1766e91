"""The preview as a page to decide by: what was painted with what and how fast, and each box under a slider."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.measure import coverage
from inpaint_transform.datasets.preview import BESIDE_EXPORT, words
from inpaint_transform.datasets.splits import TRAIN
from inpaint_transform.gates import AllOf
from inpaint_transform.reports import drawing
from inpaint_transform.reports import page as pages

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.boxes import Box
    from inpaint_transform.core.edit import Outcome
    from inpaint_transform.core.models import ModelSpec
    from inpaint_transform.datasets.preview import PaintedRow, Sheet
    from inpaint_transform.gates import Gate

# Longer side of what is shown: a close-up is larger than on a sheet, but 12 megapixels are no close-up.
CLOSE_UP, WHOLE, THUMB = 512, 1024, 160


@dataclass(frozen=True)
class About:
    """What a page says of how its variants came about, and of the data set that they are to decide on.

    Attributes:
        spec: The model.
        size: Side of its working crop in pixels.
        gate: Who judged, or None.
        sheet: What was planned.
        pictures: How many pictures of the data set a training or an export will paint.
        config: The file that the settings come from, or None.
        splits: From which splits the pictures are.
    """

    spec: ModelSpec
    size: int
    gate: Gate | None
    sheet: Sheet
    pictures: int
    config: Path | None = None
    splits: str = TRAIN


def page(rows: Iterable[PaintedRow], title: str, about: About) -> str:
    """The page as HTML; it needs no network.

    Args:
        rows: What was painted; each is drawn when it is taken from the iterable.
        title: Any text.
        about: What stands above them.
    """
    shown: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    seconds: list[float] = []
    for painted in rows:
        shown.append(_row(painted, f"box-{len(shown) + 1}"))
        outcomes += painted.outcomes
        seconds.append(painted.seconds / len(painted.outcomes))
    # The first call loads what the others find: the median does not mind.
    facts = _facts(about, outcomes, statistics.median(seconds)) if shown else []
    return pages.render("preview", title=title, facts=facts, classes=_classes(shown), rows=shown)


def _facts(about: About, outcomes: Sequence[Outcome], seconds: float) -> list[tuple[str, str]]:
    accepted = sum(outcome.accepted for outcome in outcomes)
    sheet = about.sheet
    boxes = round(sheet.paintable / sheet.read * about.pictures)
    # Where all pictures were read their boxes are counted, and not extrapolated.
    whole = sheet.read >= about.pictures
    around, counted = ("", "") if whole else ("about ", f" (as many a picture as in the first {sheet.read})")
    facts = [
        ("Model", _model(about)),
        ("Gate", "none: everything is accepted but what is no picture" if about.gate is None else _gate(about.gate)),
        ("Accepted", f"{accepted} of {len(outcomes)} variants ({accepted / len(outcomes):.0%})"),
        ("Speed", f"{_duration(seconds)} a variant, rejected attempts included"),
        (
            "Whole set",
            f"{around}{boxes} boxes in {about.pictures} pictures may be painted{counted}; at this speed one painting "
            f"of each takes about {_duration(seconds * boxes)}",
        ),
    ]
    facts.append(("Pictures", f"of {about.splits}; {BESIDE_EXPORT}"))
    facts += [("Not shown", said) for said in sheet.not_shown(about.pictures)]
    if about.config is not None:
        facts.append(("Settings", f"those of {about.config.name}, and the options that were given beside it"))
    return facts


def _model(about: About) -> str:
    spec = about.spec.resolved()
    said = [about.spec.id, f"{about.size} pixels", f"{spec.steps} steps"]
    if spec.guidance_scale is not None:
        said.append(f"guidance {spec.guidance_scale:g}")
    said += [f"LoRA {place}{'' if weight == 1 else f' at {weight:g}'}" for place, weight in spec.loras]
    said += [f"the word {word}" for word, _ in spec.words]
    # What else was set, by its name.
    also = {**about.spec.to_dict(), "scheduler": spec.scheduler, "vae": spec.vae}
    told = ("id", "size", "steps", "guidance_scale", "lora", "textual_inversion", "serving", "address")
    said += [f"{name} {value}" for name, value in also.items() if name not in told and value not in (None, False)]
    return ", ".join(said)


def _gate(gate: Gate) -> str:
    """A gate's name, its threshold, and whatever else is not as it is by default."""
    if isinstance(gate, AllOf):
        return " and ".join(map(_gate, gate.gates))
    values = {field.name: (getattr(gate, field.name), field.default) for field in dataclasses.fields(gate)}  # type: ignore[arg-type] # of the base none are made
    shown = [
        f"{name} {value}"
        for name, (value, default) in values.items()
        if not callable(value) and (name == gate.threshold or value != default)
    ]
    return f"{gate.name} ({', '.join(shown)})" if shown else gate.name


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _classes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One box of every class that is shown: the first one with an accepted variant, or else the first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        variants = row["variants"]
        best = next((variant for variant in variants if variant["accepted"]), variants[0])
        own = found.setdefault(
            row["label"],
            {"name": row["label"], "accepted": 0, "variants": 0, "row": row["anchor"], "picture": best},
        )
        if best["accepted"] and not own["picture"]["accepted"]:
            own |= {"row": row["anchor"], "picture": best}
        own["accepted"] += sum(variant["accepted"] for variant in variants)
        own["variants"] += len(variants)
    return list(found.values())


def _row(painted: PaintedRow, anchor: str) -> dict[str, Any]:
    found = painted.row.annotation
    scale = min(1.0, WHOLE / max(painted.image.shape[:2]))
    boxes = [
        (round(x0 * scale), round(y0 * scale), round(x1 * scale), round(y1 * scale)) for x0, y0, x1, y1 in found.boxes
    ]
    shrunk = drawing.shrunk(painted.image, WHOLE)
    return {
        "anchor": anchor,
        "label": str(painted.row.edits[0].label),
        "name": found.image.name,
        "held_out": painted.row.held_out,
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
        "before": _close_up(outcome.before, box, CLOSE_UP),
        "after": None if after is None else _close_up(after, box, CLOSE_UP),
        "thumbs": [None if window is None else _close_up(window, box, THUMB) for window in (outcome.before, after)],
        "facts": " · ".join(facts),
        "accepted": outcome.accepted,
        "verdict": words(outcome),
    }


def _close_up(window: np.ndarray, box: Box, longest: int) -> str:
    return pages.data_uri(drawing.shrunk(drawing.bracketed(window, box), longest))
