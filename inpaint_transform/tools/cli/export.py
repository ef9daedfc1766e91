"""The export command."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.tools.cli.options import (
    Boxes,
    Budget,
    Clip,
    Context,
    Format,
    Gates,
    Guidance,
    MinBoxSize,
    Model,
    Names,
    Only,
    Prompts,
    Retries,
    Source,
    Split,
    Steps,
    Strength,
    Swaps,
    read_budget,
    read_gates,
    read_prompts,
    read_splits,
    read_swaps,
    usage_errors,
)
from inpaint_transform.tools.cli.progress import INTERRUPTED, Reporter, progress_bar
from inpaint_transform.tools.cli.terminal import say, warn


def export(
    source: Source,
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; that of a broken-off run goes on.")],
    box_format: Format,
    to: Annotated[BoxFormat | None, typer.Option(help="How to write them down in DST. Default: as in SRC.")] = None,
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    copies: Annotated[int, typer.Option(min=0, help="Painted copies of each training picture; 0 only converts.")] = 1,
    p: Annotated[float, typer.Option("--p", min=0, max=1, help="Probability of each copy.")] = 1,
    prompt: Prompts = None,
    only: Only = None,
    budget: Budget = None,
    swap: Swaps = None,
    gate: Gates = None,
    retries: Retries = 2,
    boxes_per_image: Annotated[int, typer.Option(min=1, help="Boxes to repaint in each copy.")] = 1,
    context: Context = 2,
    min_box_size: MinBoxSize = 32,
    model: Model = "tiny",
    steps: Steps = None,
    guidance_scale: Guidance = None,
    strength: Strength = 1,
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
        given: dict[str, Any] = {
            "model": ModelSpec(
                model,
                steps=steps,
                guidance_scale=guidance_scale,
                serving="ray" if ray else "local",
                address=address,
            ),
            "split": read_splits(split or ()),
            "prompts": read_prompts(prompt or ()),
            "budget": read_budget(budget or ()),
            "swap": read_swaps(swap or ()),
            "gate": read_gates(gate or ()),
        }
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
            only=only or (),
            retries=retries,
            boxes_per_image=boxes_per_image,
            context=context,
            min_box_size=min_box_size,
            strength=strength,
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
        f"{done.accepted} of {done.edits} painted boxes accepted, in {took:.1f} s"
    )
    if done.problems:
        raise typer.Exit(1)
