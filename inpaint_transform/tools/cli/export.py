"""The export command."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.tools.cli.asked import placed, read_asked, tell_of_rest
from inpaint_transform.tools.cli.options import (
    PAINTED,
    Boxes,
    Budget,
    Clip,
    Config,
    Format,
    Model,
    ModelOptions,
    Names,
    RecipeOptions,
    Source,
    Split,
    grouped,
    usage_errors,
)
from inpaint_transform.tools.cli.progress import INTERRUPTED, Reporter, named, progress_bar
from inpaint_transform.tools.cli.terminal import say, warn
from inpaint_transform.tools.cli.typed import read_budget, read_splits


@grouped
def export(
    source: Source,
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; that of a broken-off run goes on.")],
    box_format: Format,
    *,
    model: Model = None,
    config: Config = None,
    models: ModelOptions,
    recipes: RecipeOptions,
    to: Annotated[BoxFormat | None, typer.Option(help="How to write them down in DST. Default: as in SRC.")] = None,
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    copies: Annotated[int, typer.Option(min=0, help="Painted copies of each training picture; 0 only converts.")] = 1,
    p: Annotated[float, typer.Option("--p", min=0, max=1, help="Probability of each copy.")] = 1,
    boxes_per_image: Annotated[
        int | None,
        typer.Option(
            min=1, help="Boxes to repaint in each copy. Default: as in --config, or 1.", rich_help_panel=PAINTED
        ),
    ] = None,
    budget: Budget = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read and write while the model paints.")] = 2,
    link: Annotated[bool, typer.Option("--link/--copy", help="Hard-link the originals, or copy them.")] = True,
    save_crops: Annotated[
        bool, typer.Option("--save-crops", help="Save each painted box before and after, for the pictures of report.")
    ] = False,
    pool: Annotated[
        Path | None,
        typer.Option(
            help="Pool of looks: what was painted before is taken from there, and what is painted kept there."
        ),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Let the painters of serve --ray paint.")] = False,
    address: Annotated[
        str | None, typer.Option(help="With --ray: host:port of the cluster's head. Default: that of this machine.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Paint part K of N only, into DST.shard-K-of-N.")
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Put the shards beside DST together, with the options they were painted with."),
    ] = False,
) -> None:
    """Write a data set with painted copies of its pictures; run it again to go on where it stopped."""
    from inpaint_transform.datasets.export import SettingsError
    from inpaint_transform.datasets.export import export as write

    if address is not None and not ray:
        raise typer.BadParameter(f"--address {address} goes with --ray")
    with usage_errors():
        asked = read_asked(model, config, models, recipes)
        given: dict[str, Any] = {"split": read_splits(split or ()), "budget": read_budget(budget or ())}
    tell_of_rest(asked, config)
    recipe = asked.recipe if boxes_per_image is None else dataclasses.replace(asked.recipe, box_p=None)
    start = time.perf_counter()
    try:
        done = write(
            source,
            target,
            box_format,
            to=to,
            boxes=boxes,
            names=names,
            clip=clip,
            copies=copies,
            p=p,
            prompts=asked.templates,
            only=asked.only,
            swap=asked.changes.get("relabel"),
            gate=asked.gate,
            boxes_per_image=boxes_per_image,
            recipe=recipe,
            model=placed(asked.spec, ray, address),
            seed=seed,
            workers=workers,
            link=link,
            save_crops=save_crops,
            pool=pool,
            shard=shard,
            merge=merge,
            progress=progress_bar,
            say=warn,
            report=Reporter(),
            **given,
        )
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        there = f"what {target} holds is whole" if target.is_dir() else "nothing is written yet"
        warn(f"stopped; {there}, and the same command goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    took = time.perf_counter() - start
    pictures = ", ".join(f"{count} {name}" for name, count in done.pictures.items())
    say(
        f"wrote {done.target}: {f'{pictures} pictures, ' if pictures else ''}"
        f"{done.accepted} of {done.edits} painted boxes accepted, in {took:.1f} s{named(len(done.problems))}"
    )
    if done.problems:
        raise typer.Exit(1)
