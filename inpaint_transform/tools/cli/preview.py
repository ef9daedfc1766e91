"""The preview command."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import BoxFormat, read, read_names
from inpaint_transform.tools.cli.options import (
    Context,
    Gates,
    Guidance,
    MinBoxSize,
    Model,
    Names,
    PageOrSheet,
    Retries,
    Seed,
    Steps,
    Strength,
    read_gates,
    usage_errors,
)
from inpaint_transform.tools.cli.painting import load, tell, write


def preview(
    images: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="A data set's folder; with --boxes a picture or a folder of pictures."),
    ],
    box_format: Annotated[BoxFormat, typer.Option("--format", help="How the boxes are written down.")],
    boxes: Annotated[
        Path | None,
        typer.Option(help="Label file or folder of label files; for coco the JSON file. Default: found in SRC."),
    ] = None,
    names: Names = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What to paint: for every label, or LABEL=PROMPT for one (name another thing to swap). Repeat it to "
            "let prompts take turns. With LABEL=PROMPT only, other labels are left alone. Default: 'a photo of a "
            "{label}'."
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="Show this label only. Repeatable.")] = None,
    gate: Gates = None,
    retries: Retries = 2,
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
    out: PageOrSheet = Path("preview.png"),
) -> None:
    """Show what a model makes of your own boxes: a sheet, or a page with sliders, of originals and variants."""
    from tqdm import tqdm

    from inpaint_transform.core.recipe import Recipe
    from inpaint_transform.datasets import layout as layouts
    from inpaint_transform.datasets import preview as sheet
    from inpaint_transform.datasets import preview_page
    from inpaint_transform.gates import spec_with_clip
    from inpaint_transform.reports import drawing as pictures

    if names is not None and box_format is not BoxFormat.YOLO:
        raise typer.BadParameter(f"--names is for yolo; {box_format.value} files hold their class names themselves")
    with usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        recipe = Recipe(
            num_boxes=boxes_per_image,
            context=context,
            min_box_size=min_box_size,
            strength=strength,
            retries=retries,
        )
        judge = read_gates(gate or ())
        templates = sheet.read_templates(prompt or ["a photo of a {label}"])
    start = time.perf_counter()
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(problem)
        typer.echo(problem, err=True)

    class_names = read_names(names) if names is not None else None
    parts = [layouts.Part(images, boxes)] if boxes is not None else layouts.find_parts(images, box_format)
    found = (item for part in parts for item in read(part.images, part.boxes, box_format, class_names))
    rows = sheet.plan_sheet(found, recipe, templates, variants, seed, limit, report, only or ())
    # What a box could show instead of its class is any other class of these pictures.
    classes = {label: label for row in rows for label in row.annotation.labels}
    recipe = dataclasses.replace(recipe, class_names=classes)
    inpainter = load(spec_with_clip(spec, judge))
    with tqdm(rows, "painting", unit="box") as progress:
        painted = (sheet.paint_row(row, recipe, inpainter, judge) for row in progress)
        if out.suffix.lower() == ".html":
            out.write_text(preview_page.page(painted, f"{spec.id} on {images.resolve().name}"), encoding="utf-8")
            tell(out, start)
        else:
            write(out, pictures.contact_sheet(map(sheet.tiles, painted)), start)
    if problems:
        raise typer.Exit(1)
