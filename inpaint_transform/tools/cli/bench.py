"""The bench command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.serving import placement
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.tools.cli.asked import read_asked, tell_of_rest
from inpaint_transform.tools.cli.options import (
    Clip,
    Config,
    ModelArgument,
    ModelOptions,
    Names,
    RecipeOptions,
    Split,
    grouped,
    usage_errors,
)
from inpaint_transform.tools.cli.terminal import say, warn
from inpaint_transform.tools.cli.typed import read_class_names, read_numbers, read_splits


@grouped
def bench(
    models: ModelOptions,
    recipes: RecipeOptions,
    model: ModelArgument = None,
    config: Config = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Your pictures: a data set's folder, or with --boxes a picture or a folder of pictures. They need "
            "--format. Default: the embedded one."
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Of --images: label file or folder of label files; for coco the JSON file. Default: found in --images."
        ),
    ] = None,
    box_format: Annotated[
        BoxFormat | None, typer.Option("--format", help="Of --images, which need it: how their boxes are written down.")
    ] = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
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

    if images is None and (boxes is not None or box_format is not None):
        raise typer.BadParameter("--boxes and --format say what lies beside --images; give --images too")
    if images is not None and not images.exists():
        raise FileNotFoundError(f"{images}: there is no such picture or folder")
    if images is not None and box_format is None:
        raise typer.BadParameter(
            f"--images {images} needs --format yolo, coco or voc, and --boxes where the labels do not lie in it as is "
            f"usual for that format"
        )
    class_names = read_class_names(names, box_format)
    if out.suffix.lower() != ".json" or out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"{out} cannot be written: give a name that ends in .json, in an existing folder")
    with usage_errors():
        given: dict[str, Any] = {"batch_size": batch_size, "seconds": seconds}
        given["workers"] = read_numbers(workers, "workers", int) if workers is not None else None
        given["p"] = read_numbers(p, "p", float) if p is not None else None
        chosen = {name: value for name, value in given.items() if value is not None}
        asked = read_asked(model, config, models, recipes)
        wanted = read_splits(split or ())
        chosen = {**(QUICK if quick else {}), **chosen}
        Settings(asked.spec, **chosen)  # refuses what cannot be measured, before anything is read
    tell_of_rest(asked, config)
    if not placement.CAN_SHARE:
        warn("on Windows workers cannot share a model, so loaders with workers are not measured")
        chosen["workers"] = (0,)

    from inpaint_transform.datasets import reading, splits
    from inpaint_transform.faces.arguments import RECIPE
    from inpaint_transform.tools.bench import plot, samples
    from inpaint_transform.tools.bench.run import run

    recipe = asked.recipe_for()
    if images is not None and box_format is not None:
        found = reading.find(images, box_format, boxes, class_names, wanted, clip)
        pictures = samples.read_own(found, warn)
        data = samples.Data.of(images.resolve().name, pictures, recipe, found.count(splits.TRAIN))
    else:
        data = samples.Data.of("embedded", samples.embedded(), recipe)
    # What measures is silent: a training's warnings are no result. This one is about what was asked for.
    prompts = (
        edit.prompt for number, one in enumerate(data.pictures) for edit in samples.edits_of(one, number, recipe)
    )
    if (advice := Listener(asked.spec.resolved()).advice(prompts)) is not None:
        warn(f"Warning: {advice}")
    if not plot.available():
        warn(plot.MISSING)
    arguments = asked.arguments(sorted({label for picture in data.pictures for label in picture.labels}))
    # What else a saved transform says, of logs, schedules and label fields, is a training's own.
    settings = Settings(
        asked.spec, arguments={name: arguments[name] for name in (*RECIPE, "gate") if name in arguments}, **chosen
    )
    run(settings, data, out, ("inpaint-transform", sys.argv[1:]), say, train_rate)
