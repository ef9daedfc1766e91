"""The bench command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.serving import placement
from inpaint_transform.tools.cli.asked import read_asked, tell_of_rest
from inpaint_transform.tools.cli.options import (
    Config,
    ModelArgument,
    ModelOptions,
    Names,
    RecipeOptions,
    grouped,
    usage_errors,
)
from inpaint_transform.tools.cli.terminal import say, warn
from inpaint_transform.tools.cli.typed import read_class_names, read_numbers


@grouped
def bench(
    models: ModelOptions,
    recipes: RecipeOptions,
    model: ModelArgument = None,
    config: Config = None,
    images: Annotated[
        Path | None, typer.Option(help="Your pictures: one, or a folder. Default: the embedded one.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Label file or folder of label files; for coco the JSON file.")
    ] = None,
    box_format: Annotated[BoxFormat | None, typer.Option("--format", help="How the boxes are written down.")] = None,
    names: Names = None,
    quick: Annotated[bool, typer.Option("--quick", help="A first impression, with fewer and shorter runs.")] = False,
    workers: Annotated[str | None, typer.Option(help="Numbers of DataLoader workers. Default: 0,2,4,8.")] = None,
    p: Annotated[
        str | None, typer.Option("--p", help="Probabilities; 0 is always one. Default: 0,0.1,0.25,0.5,1.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples in a mini-batch. Default: 8.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Least time of each measurement. Default: 8.")] = None,
    train_rate: Annotated[
        float | None, typer.Option(min=1e-3, help="Images/s that your training step takes; the advice is for it.")
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON file to write; the plot goes beside it.")] = Path("bench.json"),
) -> None:
    """Measure which p and how many workers this machine affords, and what the loader makes of the pipeline."""
    from inpaint_transform.tools.bench.settings import QUICK, Settings

    if len({value is None for value in (images, boxes, box_format)}) != 1:
        raise typer.BadParameter("--images, --boxes and --format go together")
    class_names = read_class_names(names, box_format)
    if out.suffix.lower() != ".json" or out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"{out} cannot be written: give a name that ends in .json, in an existing folder")
    with usage_errors():
        given: dict[str, Any] = {"batch_size": batch_size, "seconds": seconds}
        given["workers"] = read_numbers(workers, "workers", int) if workers is not None else None
        given["p"] = read_numbers(p, "p", float) if p is not None else None
        chosen = {name: value for name, value in given.items() if value is not None}
        asked = read_asked(model, config, models, recipes)
        chosen = {**(QUICK if quick else {}), **chosen}
        Settings(asked.spec, **chosen)  # refuses what cannot be measured, before anything is read
    tell_of_rest(asked, config)
    if not placement.CAN_SHARE:
        warn("on Windows workers cannot share a model, so loaders with workers are not measured")
        chosen["workers"] = (0,)

    from inpaint_transform.faces.arguments import RECIPE
    from inpaint_transform.tools.bench import plot, samples
    from inpaint_transform.tools.bench.run import run

    if images is not None and boxes is not None and box_format is not None:
        pictures = samples.read_own(images, boxes, box_format, class_names, warn)
        source = images.resolve().name
    else:
        pictures, source = samples.embedded(), "embedded"
    if not plot.available():
        warn(plot.MISSING)
    if not any(samples.edits_of(picture, recipe=asked.recipe_for()) for picture in pictures):
        raise ValueError(
            f"there is no box to paint in {source}: none has the size, label and prompt that are asked for"
        )
    arguments = asked.arguments(sorted({label for picture in pictures for label in picture.labels}))
    # What else a saved transform says, of logs, schedules and label fields, is a training's own.
    settings = Settings(
        asked.spec, arguments={name: arguments[name] for name in (*RECIPE, "gate") if name in arguments}, **chosen
    )
    run(settings, pictures, out, ("inpaint-transform", sys.argv[1:]), say, source, train_rate)
