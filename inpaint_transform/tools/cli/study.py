"""The study command."""

from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.tools.cli.progress import INTERRUPTED, progress_bar
from inpaint_transform.tools.cli.terminal import say, warn


def study(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="What is compared, and how it is trained; see the README.")
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(help="Train here instead, one run at a time on each. Repeatable; the same one twice for two."),
    ] = None,
    results: Annotated[
        bool, typer.Option("--results", help="Train nothing: tell what the results say so far.")
    ] = False,
) -> None:
    """Train with and without augmentation on the same draws of your data, and say whether it helps."""
    from inpaint_transform.tools.study import config as configs
    from inpaint_transform.tools.study import run
    from inpaint_transform.tools.study.result import read_study

    out = configs.read(config).out
    try:
        if results:
            found = read_study(out)
            run.write(found, out, warn)
        else:
            found = run.run_study(config, devices=device, progress=progress_bar, say=warn, report=warn)
    except KeyboardInterrupt:
        warn(f"stopped; what is finished is in {out}, and the same command goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    say(found.table())
    for sentence in found.words():
        say(sentence)
    say(f"wrote {', '.join(str(out / name) for name in run.written(out))}")
    if found.failed:
        raise typer.Exit(1)
