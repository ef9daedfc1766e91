"""The commands that read a log of edits: report and replay."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.cli.options import Out, PageOrSheet
from inpaint_transform.tools.cli.painting import load, write


def report(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG", help="Log that BBoxInpaint(log=...) or export (DST/provenance.jsonl) has written."
        ),
    ],
    out: PageOrSheet = Path("report.html"),
    limit: Annotated[int, typer.Option(min=1, help="How many of the worst accepted and best rejected to show.")] = 24,
) -> None:
    """Add up a log of edits: accept rates, scores, the worst accepted and the best rejected."""
    from inpaint_transform.reports import report as pages

    summary = pages.write(log, out, limit)
    edits = sum(counts.edits for counts in summary.classes.values())
    accepted = sum(counts.accepted for counts in summary.classes.values())
    typer.echo(f"wrote {out}: {accepted} of {edits} edits accepted")


def replay(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG", help="Log that BBoxInpaint(log=...) or export (DST/provenance.jsonl) has written."
        ),
    ],
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The picture as the transform got it; of an export, the original.")
    ],
    line: Annotated[int, typer.Option(min=1, help="Which line of the log.")],
    model: Annotated[str | None, typer.Option(help="Preset, hub id or diffusers folder. Default: the line's.")] = None,
    out: Out = Path("replay.png"),
) -> None:
    """Paint one edit of a log again.

    The pixels are the same if the edit had its call to itself or the model ran with reproducible=True; otherwise they
    may differ by a grey level.
    """
    from inpaint_transform.datasets.reading import read_image
    from inpaint_transform.reports import drawing as pictures
    from inpaint_transform.reports import log as provenance

    start = time.perf_counter()
    record = provenance.at(log, line)
    original = read_image(image)
    provenance.check(record, original)
    # A server that was started by hand then may be gone now.
    here = {"serving": "local", "address": None}
    spec = ModelSpec.of({**record.model, **here, **({} if model is None else {"id": model})})
    painted, outcome = provenance.replay(record, original, load(spec))
    if not outcome.accepted:
        typer.echo(f"nothing is painted: {outcome.reason}", err=True)
    edit = record.edit
    write(out, pictures.before_after(original, painted, [edit.box], [str(edit.target)], [edit.prompt]), start)
