"""Report: what a log of edits adds up to, as a page that opens without network or as a picture."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from inpaint_transform.reports import drawing as pictures
from inpaint_transform.reports import page as pages
from inpaint_transform.reports.log import Record, crops_of, read

BINS = 20


@dataclass
class Counts:
    """What became of the edits of one class.

    Attributes:
        edits: How many there were.
        accepted: How many were accepted.
        attempts: How often the model was asked for them.
        milliseconds: How long that took, summed.
        reasons: Why the others were rejected.
        fills: How well the accepted ones fill their boxes.
    """

    edits: int = 0
    accepted: int = 0
    attempts: int = 0
    milliseconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    fills: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count an edit."""
        self.edits += 1
        self.attempts += record.attempts
        self.milliseconds += record.milliseconds
        if not record.accepted:
            self.reasons[record.reason or "unknown"] += 1
            return
        self.accepted += 1
        if record.fill is not None:
            self.fills.append(record.fill)


@dataclass
class Summary:
    """A log, added up.

    Attributes:
        classes: Counts by class; of a swap by ``old -> new``.
        scores: By gate, the scores of accepted and of rejected edits.
        worst: The accepted edits with the lowest scores, worst first, with the numbers of their lines.
        best: The rejected edits with the highest scores, best first, likewise.
    """

    classes: dict[str, Counts]
    scores: dict[str, tuple[list[float], list[float]]]
    worst: list[tuple[int, Record]]
    best: list[tuple[int, Record]]


def name_of(record: Record) -> str:
    """The class of an edit, or the swap that it was."""
    edit = record.edit
    # The font of the sheets has no arrow.
    return str(edit.label) if edit.new_label is None else f"{edit.label} -> {edit.new_label}"


def score_of(record: Record) -> float:
    """What ranks an edit: the score of the last gate that judged it, or else how well it fills its box."""
    return list(record.scores.values())[-1] if record.scores else record.fill or 0.0


def summarise(lines: Iterable[tuple[int, Record]], limit: int) -> Summary:
    """Add up a log.

    Args:
        lines: Its line numbers and records, as ``provenance.read`` gives them.
        limit: How many of the worst accepted and of the best rejected to keep.
    """
    classes: defaultdict[str, Counts] = defaultdict(Counts)
    scores: defaultdict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    worst: list[tuple[int, Record]] = []
    best: list[tuple[int, Record]] = []
    for number, record in lines:
        classes[name_of(record)].add(record)
        for gate, score in record.scores.items():
            scores[gate][0 if record.accepted else 1].append(score)
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
        What was found.

    Raises:
        FileNotFoundError: There is no such log.
        ValueError: A line cannot be read, the log is empty, or a sheet is asked for and the log has no pictures.
    """
    summary = summarise(read(log), limit)
    if not summary.classes:
        raise ValueError(f"{log} has no edits")
    if out.suffix.lower() == ".html":
        out.write_text(page(summary, log), encoding="utf-8")
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
                before = pictures.Tile(pair[0], name_of(record), note=note, alert=title == "rejected")
                rows.append([before, pictures.Tile(pair[1], record.edit.prompt)])
    if not rows:
        raise ValueError(f"{log} has no pictures: log with log_crops=True, or write a .html report")
    return pictures.contact_sheet(rows)


def _words(record: Record) -> str:
    scores = ", ".join(f"{gate} {score:.2f}" for gate, score in record.scores.items())
    words = scores or f"fill {record.fill}"
    return words if record.accepted else f"{words}: {record.reason}"


def _crops(record: Record, log: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The window before and after; None where there is no picture."""
    if record.crop is None:
        return None
    path = crops_of(log) / Path(record.crop).name
    if not path.is_file():
        return None
    both = np.asarray(Image.open(path).convert("RGB"))
    half = both.shape[1] // 2
    return both[:, :half], both[:, half:]


def page(summary: Summary, log: Path) -> str:
    """The report as an HTML page."""
    total = Counts()
    for counts in summary.classes.values():
        total.edits += counts.edits
        total.accepted += counts.accepted
        total.attempts += counts.attempts
        total.milliseconds += counts.milliseconds
        total.reasons.update(counts.reasons)
        total.fills += counts.fills
    rows = [_row(name, counts) for name, counts in summary.classes.items()]
    if len(rows) > 1:
        rows.append(_row("all", total))
    reasons = "".join(
        f"<tr><td>{html.escape(reason)}</td><td>{count}</td></tr>" for reason, count in total.reasons.most_common()
    )
    histograms = "".join(
        f"<figure><figcaption>{html.escape(gate)}</figcaption>{_histogram(*both)}</figure>"
        for gate, both in summary.scores.items()
    )
    parts = [
        f"<h1>{html.escape(log.name)}</h1>",
        "<table><tr><th>class</th><th>edits</th><th>accepted</th><th>rate</th><th>attempts an edit</th>"
        f"<th>fill, median</th><th>ms an edit</th></tr>{''.join(rows)}</table>",
        f"<h2>Rejected, because</h2><table>{reasons}</table>" if reasons else "",
        f"<h2>Scores</h2><p>Blue: accepted. Red: rejected.</p><div class=row>{histograms}</div>" if histograms else "",
        _gallery("The worst accepted", summary.worst, log),
        _gallery("The best rejected", summary.best, log),
    ]
    return pages.frame(log.name, "\n".join(filter(None, parts)))


def _row(name: str, counts: Counts) -> str:
    fill = f"{float(np.median(counts.fills)):.2f}" if counts.fills else "-"
    cells = [
        html.escape(name),
        str(counts.edits),
        str(counts.accepted),
        f"{counts.accepted / counts.edits:.0%}",
        f"{counts.attempts / counts.edits:.2f}",
        fill,
        f"{counts.milliseconds / counts.edits:.0f}",
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _histogram(accepted: Sequence[float], rejected: Sequence[float]) -> str:
    """Scores as an SVG: accepted ones upwards in blue, rejected ones stacked on them in red."""
    values = [*accepted, *rejected]
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    edges = np.linspace(low, high, BINS + 1)
    below = np.histogram(accepted, edges)[0]
    above = np.histogram(rejected, edges)[0]
    scale = 100 / max(int((below + above).max()), 1)
    bars = []
    for number, (blue, red) in enumerate(zip(below.tolist(), above.tolist(), strict=True)):
        x, width = 10 + number * 280 / BINS, 280 / BINS - 1
        for colour, count, base in (("#0069aa", blue, 0), ("#be1e2d", red, blue)):
            if count:
                y, height = 110 - (base + count) * scale, count * scale
                bars.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
                )
    ticks = (
        f'<text x="10" y="126" font-size="11">{low:.2f}</text><text x="262" y="126" font-size="11">{high:.2f}</text>'
    )
    return f'<svg viewBox="0 0 300 132" role="img" xmlns="http://www.w3.org/2000/svg">{"".join(bars)}{ticks}</svg>'


def _gallery(title: str, lines: Sequence[tuple[int, Record]], log: Path) -> str:
    figures = []
    for number, record in lines:
        words = f"{html.escape(name_of(record))}: {html.escape(record.edit.prompt)}"
        key = f" · {html.escape(record.key)}" if record.key is not None else ""
        note = f"line {number}: {html.escape(_words(record))}{key}"
        caption = f"<figcaption>{words}<br><span class=faint>{note}</span></figcaption>"
        pair = _crops(record, log)
        picture = "" if pair is None else pages.picture(np.hstack(pair), "before and after")
        figures.append(f"<figure>{picture}{caption}</figure>")
    return f"<h2>{title}</h2><div class=row>{''.join(figures)}</div>" if figures else ""
