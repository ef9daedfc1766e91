"""The bench command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.tools.cli.options import Names, Steps, read_class_names, read_numbers, usage_errors
from inpaint_transform.tools.cli.terminal import say, warn


def bench(
    model: Annotated[str, typer.Argument(help="Preset, hub id, diffusers folder or .safetensors file.")] = "tiny",
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
    steps: Steps = None,
    size: Annotated[int | None, typer.Option(help="Side of the working crop in pixels. Default: the model's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
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
        spec = ModelSpec(model, device=device, dtype=dtype, size=size, steps=steps)
        settings = Settings(spec, **{**(QUICK if quick else {}), **chosen})

    from inpaint_transform.tools.bench import plot, samples
    from inpaint_transform.tools.bench.run import run

    if images is not None and boxes is not None and box_format is not None:
        pictures = samples.read_own(images, boxes, box_format, class_names, warn)
        source = images.resolve().name
    else:
        pictures, source = samples.embedded(), "embedded"
    if not plot.available():
        warn(plot.MISSING)
    run(settings, pictures, out, ("inpaint-transform", sys.argv[1:]), say, source, train_rate)
