"""The commands that read a log of edits: report and replay."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.tools.cli.options import Out, PageOrSheet, png
from inpaint_transform.tools.cli.progress import load, write
from inpaint_transform.tools.cli.terminal import say, warn

# Of the lines that cannot be read: a log of another release has a million.
SHOWN = 5

Log = Annotated[
    Path,
    typer.Argument(metavar="LOG", help="Log that BBoxInpaint(log=...) or export (DST/provenance.jsonl) has written."),
]


def _png(path: Path | None) -> Path | None:
    return None if path is None else png(path)


def report(
    log: Log,
    out: PageOrSheet = Path("report.html"),
    limit: Annotated[int, typer.Option(min=1, help="How many of the worst accepted and best rejected to show.")] = 24,
) -> None:
    """Add up a log of edits: accept rates, scores, the worst accepted and the best rejected."""
    from inpaint_transform.reports import report as pages

    summary = pages.write(log, out, limit)
    edits = sum(counts.edits for counts in summary.classes.values())
    accepted = sum(counts.accepted for counts in summary.classes.values())
    for damage in summary.damaged[:SHOWN]:
        warn(damage)
    if len(summary.damaged) > SHOWN:
        warn(f"{len(summary.damaged)} lines cannot be read and are left out")
    cold = sum(counts.cold for counts in summary.classes.values())
    say(f"wrote {out}: {accepted} of {edits} edits accepted{f', {cold} not painted yet' if cold else ''}")
    for line in summary.reused.words():
        say(line)
    if (without := pages.pictureless(summary, log)) is not None:
        say(without)
    if summary.damaged:
        raise typer.Exit(1)


def replay(
    log: Log,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The picture as the transform got it; of an export, the original.")
    ],
    line: Annotated[int, typer.Option(min=1, help="Which line of the log.")],
    model: Annotated[
        str | None, typer.Option(help="Preset, hub id, diffusers folder or .safetensors file. Default: the line's.")
    ] = None,
    out: Out = Path("replay.png"),
    picture: Annotated[
        Path | None,
        typer.Option(
            help="PNG file to write too: the whole picture as it is painted, with nothing drawn.", callback=_png
        ),
    ] = None,
) -> None:
    """Paint one edit of a log again, into a sheet of the picture before and after.

    The pixels are the same if the edit had its call to itself or the model ran with reproducible=True; otherwise they
    may differ by a grey level.
    """
    from inpaint_transform.datasets.reading import read_image
    from inpaint_transform.reports import drawing
    from inpaint_transform.reports import replay as replaying
    from inpaint_transform.reports.log import at

    start = time.perf_counter()
    record = at(log, line)
    original = read_image(image)
    replaying.check(record, original)
    painted, outcome = replaying.replay(record, original, load(replaying.spec_of(record, model)))
    if not outcome.accepted:
        warn(f"nothing is painted: {outcome.reason}")
    edit = record.edit
    asked = edit.prompt if record.new_label is None else f"{record.new_label}: {edit.prompt}"
    if picture is not None:
        write(picture, painted, start)
    write(out, drawing.before_after(original, painted, [edit.box], [record.label], [asked]), start)
