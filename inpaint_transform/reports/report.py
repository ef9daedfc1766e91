"""Report: what a log of edits adds up to, as a page that opens without network or as a picture."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.reports import drawing as pictures
from inpaint_transform.reports import page as pages
from inpaint_transform.reports.log import Record, crops_of, read
from inpaint_transform.reports.reused import Reused
from inpaint_transform.reports.scores import Scores

logger = logging.getLogger(__name__)


@dataclass
class Counts:
    """What became of the edits of one class.

    Attributes:
        edits: How many there were, without those that were not painted yet.
        accepted: How many were accepted.
        attempts: How often the model was asked for them.
        milliseconds: How long each of them took.
        reasons: Why the others were rejected.
        fills: How well the accepted ones fill their boxes.
        cold: How many were not painted yet, with ``reuse``: they kept their pixels, and nobody has judged them.
    """

    edits: int = 0
    accepted: int = 0
    attempts: int = 0
    milliseconds: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    fills: list[float] = field(default_factory=list)
    cold: int = 0

    def add(self, record: Record) -> None:
        """Count an edit."""
        if record.reuse == "cold":
            self.cold += 1
            return
        self.edits += 1
        self.attempts += record.attempts
        self.milliseconds.append(record.milliseconds)
        if not record.accepted:
            self.reasons[record.reason or "unknown"] += 1
            return
        self.accepted += 1
        if record.fill is not None:
            self.fills.append(record.fill)

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.edits + other.edits,
            self.accepted + other.accepted,
            self.attempts + other.attempts,
            self.milliseconds + other.milliseconds,
            self.reasons + other.reasons,
            self.fills + other.fills,
            self.cold + other.cold,
        )


@dataclass
class Summary:
    """A log, added up.

    Attributes:
        classes: Counts by class; of a swap by ``old -> new``.
        scores: By gate, what it said of the edits.
        worst: The accepted edits with the lowest scores, worst first, with the numbers of their lines.
        best: The rejected edits with the highest scores, best first, likewise.
        damaged: What is wrong with each line that could not be read and was left out.
        reused: What it says of looks that were used again.
    """

    classes: dict[str, Counts]
    scores: dict[str, Scores]
    worst: list[tuple[int, Record]]
    best: list[tuple[int, Record]]
    damaged: list[ValueError] = field(default_factory=list)
    reused: Reused = field(default_factory=Reused)


def name_of(record: Record) -> str:
    """The class of an edit, or the swap that it was."""
    # The font of the sheets has no arrow.
    return record.label if record.new_label is None else f"{record.label} -> {record.new_label}"


def score_of(record: Record) -> float:
    """What ranks an edit: the score of the last gate that judged it, or else how well it fills its box."""
    score = list(record.scores.values())[-1] if record.scores else record.fill or 0.0
    return score if math.isfinite(score) else 0.0


def summarise(lines: Iterable[tuple[int, Record]], limit: int) -> Summary:
    """Add up a log.

    Args:
        lines: Its line numbers and records, as ``log.read`` gives them.
        limit: How many of the worst accepted and of the best rejected to keep.
    """
    classes: defaultdict[str, Counts] = defaultdict(Counts)
    scores: defaultdict[str, Scores] = defaultdict(Scores)
    worst: list[tuple[int, Record]] = []
    best: list[tuple[int, Record]] = []
    reused = Reused()
    for number, record in lines:
        classes[name_of(record)].add(record)
        reused.add(record)
        if record.reuse == "cold":
            continue
        for gate in record.scores:
            scores[gate].add(record, gate)
        kept = worst if record.accepted else best
        kept.append((number, record))
        if len(kept) > 4 * limit + 100:
            kept.sort(key=_rank, reverse=not record.accepted)
            del kept[limit:]
    return Summary(
        dict(sorted(classes.items())),
        dict(sorted(scores.items())),
        sorted(worst, key=_rank)[:limit],
        sorted(best, key=_rank, reverse=True)[:limit],
        reused=reused,
    )


def _rank(line: tuple[int, Record]) -> float:
    return score_of(line[1])


def write(log: Path, out: Path, limit: int = 24) -> Summary:
    """Write the report of a log.

    Args:
        log: The log.
        out: A ``.html`` page, which holds its pictures and needs neither network nor scripts, or a ``.png`` sheet.
        limit: How many of the worst accepted and of the best rejected edits to show.

    Returns:
        What was found, lines that cannot be read left out.

    Raises:
        FileNotFoundError: There is no such log.
        ValueError: No line can be read, the log is empty, or a sheet is asked for and the log has no pictures.
    """
    damaged: list[ValueError] = []
    summary = summarise(read(log, damaged.append), limit)
    if not summary.classes:
        raise damaged[0] if damaged else ValueError(f"{log} has no edits")
    summary.damaged = damaged
    if out.suffix.lower() == ".html":
        pages.write(page(summary, log), out)
    else:
        Image.fromarray(sheet(summary, log)).save(out)
    return summary


def sheet(summary: Summary, log: Path) -> np.ndarray:
    """The worst accepted and the best rejected edits as a contact sheet ``(H, W, 3)`` uint8."""
    rows = []
    for title, records in (("accepted", summary.worst), ("rejected", summary.best)):
        for number, record in records:
            pair = _crops(record, log)
            if pair is not None:
                note = f"line {number}, {title}, {_words(record)}"
                marked: dict[str, Any] = {"boxes": [_box(record, pair[0])], "labels": [name_of(record)], "focus": 0}
                before = pictures.Tile(pair[0], name_of(record), **marked, note=note, alert=title == "rejected")
                rows.append([before, pictures.Tile(pair[1], record.edit.prompt, **marked)])
    if not rows:
        why = pictureless(summary, log) or "No picture of the log can be read."
        raise ValueError(f"{log}: {why} A .html report needs none")
    return pictures.contact_sheet(rows)


def _words(record: Record) -> str:
    scores = ", ".join(f"{gate} {score:.2f}" for gate, score in record.scores.items())
    words = scores or ("no picture" if record.fill is None else f"fill {record.fill:.2f}")
    return words if record.accepted else f"{words}: {record.reason}"


def _crops(record: Record, log: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The window before and after; None where there is no picture, or none that can be read."""
    if record.crop is None:
        return None
    path = crops_of(log) / Path(record.crop).name
    try:
        with Image.open(path) as picture:
            both = np.asarray(picture.convert("RGB"))
    except FileNotFoundError:  # deleted, to save space
        return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        logger.warning("%s: not shown: %s", path, error)
        return None
    half = both.shape[1] // 2
    return (both[:, :half], both[:, half:]) if half else None


def _box(record: Record, picture: np.ndarray) -> Box:
    """The edited box in a picture of its window, which somebody may have made smaller."""
    width, height = sides(record.edit.window)
    across, down = picture.shape[1] / width, picture.shape[0] / height
    x0, y0, x1, y1 = record.edit.box_in_window
    return round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down)


def page(summary: Summary, log: Path) -> str:
    """The report as an HTML page."""
    total = sum(summary.classes.values(), Counts())
    rows = [_row(name, counts) for name, counts in summary.classes.items()]
    if len(rows) > 1:
        rows.append(_row("all", total))
    if not total.cold:
        rows = [row[:-1] for row in rows]
    lost = summary.damaged
    return pages.render(
        "report",
        title=log.name,
        damaged=lost and f"{len(lost)} of the log's lines could not be read and are left out, the first: {lost[0]}",
        rows=rows,
        cold=total.cold,
        reused=summary.reused.words(),
        pictureless=pictureless(summary, log),
        reasons=total.reasons.most_common(),
        histograms=[
            (gate, scores.chart(total.edits, total.accepted))
            for gate, scores in summary.scores.items()
            if scores.accepted or scores.rejected
        ],
        worst=[_figure(number, record, log) for number, record in summary.worst],
        best=[_figure(number, record, log) for number, record in summary.best],
    )


def pictureless(summary: Summary, log: Path) -> str | None:
    """What to do where there is no picture to show of any edit; None where there is one, or nothing to show."""
    # Of what failed there never was one.
    shown = [record for _, record in (*summary.worst, *summary.best) if record.fill is not None]
    named = [record for record in shown if record.crop is not None]
    if not shown or any(crops_of(log).joinpath(Path(str(record.crop)).name).exists() for record in named):
        return None
    if named:
        return (
            f"No pictures: the folder {crops_of(log).name} does not lie beside the log; with it the page shows edits."
        )
    return (
        "No pictures: the log was written without them. With log_crops=True beside log=..., or export --save-crops, "
        "the page shows edits before and after."
    )


def _row(name: str, counts: Counts) -> list[object]:
    edits = max(counts.edits, 1)
    return [
        name,
        counts.edits,
        counts.accepted,
        f"{counts.accepted / edits:.0%}" if counts.edits else "-",
        f"{counts.attempts / edits:.2f}",
        f"{float(np.median(counts.fills)):.2f}" if counts.fills else "-",
        # The first calls also wait for kernels, gates and whatever else starts late; those of a log of before, too.
        f"{float(np.median(counts.milliseconds)):.0f}" if counts.milliseconds else "-",
        counts.cold,
    ]


def _figure(number: int, record: Record, log: Path) -> dict[str, Any]:
    pair = _crops(record, log)
    key = "" if record.key is None else f" · {record.key}"
    scores = {gate: score for gate, score in record.scores.items() if math.isfinite(score)}
    return {
        "pictures": []
        if pair is None
        else [pages.data_uri(pictures.bracketed(picture, _box(record, picture))) for picture in pair],
        "name": name_of(record),
        "prompt": record.edit.prompt,
        "note": f"line {number}: {_words(record)}{key}",
        "accepted": record.accepted,
        "scores": scores,
        "rejected_by": None if record.accepted or not scores else list(scores)[-1],
    }
