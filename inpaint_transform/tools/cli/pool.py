"""The pool command."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.tools.cli.options import PageOrSheet
from inpaint_transform.tools.cli.progress import tell
from inpaint_transform.tools.cli.terminal import say


def pool(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a pool.")],
    out: PageOrSheet = Path("pool.html"),
    limit: Annotated[int, typer.Option(min=1, help="How many looks of each class to show.")] = 24,
) -> None:
    """Tell what is in a pool: looks by class, accepted and rejected, in words and as a page."""
    from inpaint_transform.tools import pool_page

    start = time.perf_counter()
    summary = pool_page.read(folder, limit)
    for line in pool_page.words(summary):
        say(line)
    pool_page.write(summary, out)
    tell(out, start)
