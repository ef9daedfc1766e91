"""The preview command."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.annotations import BoxFormat, read, read_names
from inpaint_transform.cli.options import (
    Context,
    Guidance,
    MinBoxSize,
    Model,
    Names,
    Out,
    Seed,
    Steps,
    Strength,
    usage_errors,
)
from inpaint_transform.cli.painting import load, write
from inpaint_transform.label_files import Problem
from inpaint_transform.models import ModelSpec


def preview(
    images: Annotated[Path, typer.Argument(metavar="IMAGE_OR_FOLDER", help="A picture, or a folder of pictures.")],
    boxes: Annotated[Path, typer.Option(help="Label file or folder of label files; for coco the JSON file.")],
    box_format: Annotated[BoxFormat, typer.Option("--format", help="How the boxes are written down.")],
    names: Names = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What to paint: for every label, or LABEL=PROMPT for one (name another thing to swap). Repeat it to "
            "let prompts take turns. With LABEL=PROMPT only, other labels are left alone. Default: 'a photo of a "
            "{label}'."
        ),
    ] = None,
    model: Model = "tiny",
    variants: Annotated[int, typer.Option(min=1, help="Variants of each box.")] = 4,
    boxes_per_image: Annotated[int, typer.Option(min=1, help="Boxes to repaint in each picture.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Most pictures on the sheet.")] = 8,
    context: Context = 2,
    min_box_size: MinBoxSize = 32,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    strength: Strength = 1,
    seed: Seed = 0,
    out: Out = Path("preview.png"),
) -> None:
    """Show what a model makes of your own boxes: a contact sheet of originals and repainted variants."""
    from tqdm import tqdm

    from inpaint_transform import core, pictures
    from inpaint_transform import preview as sheet

    if names is not None and box_format is not BoxFormat.YOLO:
        raise typer.BadParameter(f"--names is for yolo; {box_format.value} files hold their class names themselves")
    with usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        recipe = core.Recipe(num_boxes=boxes_per_image, context=context, min_box_size=min_box_size, strength=strength)
        templates = sheet.read_templates(prompt or ["a photo of a {label}"])
    start = time.perf_counter()
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(problem)
        typer.echo(problem, err=True)

    class_names = read_names(names) if names is not None else None
    found = read(images, boxes, box_format, class_names)
    rows = sheet.plan_sheet(found, recipe, templates, variants, seed, limit, report)
    inpainter = load(spec)
    with tqdm(rows, "painting", unit="box") as progress:
        picture = pictures.contact_sheet(sheet.paint_row(row, recipe, inpainter) for row in progress)
    write(out, picture, start)
    if problems:
        raise typer.Exit(1)
