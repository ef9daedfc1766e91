"""The preview command."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.files import Problem
from inpaint_transform.tools.cli.options import (
    Boxes,
    Clip,
    Context,
    Format,
    Gates,
    Guidance,
    MinBoxSize,
    Model,
    Names,
    Only,
    PageOrSheet,
    Prompts,
    Retries,
    Seed,
    Source,
    Split,
    Steps,
    Strength,
    Swaps,
    read_class_names,
    read_gates,
    read_prompts,
    read_splits,
    read_swaps,
    usage_errors,
)
from inpaint_transform.tools.cli.progress import Reporter, load, progress_bar, tell, write
from inpaint_transform.tools.cli.terminal import warn


def preview(
    source: Source,
    box_format: Format,
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    prompt: Prompts = None,
    only: Only = None,
    swap: Swaps = None,
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
    from inpaint_transform.core.recipe import Recipe
    from inpaint_transform.datasets import preview as sheet
    from inpaint_transform.datasets import preview_page, reading
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.datasets.images import Pictures
    from inpaint_transform.datasets.templates import recipe_for
    from inpaint_transform.reports import drawing
    from inpaint_transform.reports import page as pages

    class_names = read_class_names(names, box_format)
    with usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        base = Recipe(
            num_boxes=boxes_per_image,
            context=context,
            min_box_size=min_box_size,
            strength=strength,
            relabel=read_swaps(swap or ()),
            retries=retries,
        )
        judge, wanted = read_gates(gate or ()), read_splits(split or ())
        templates = read_prompts(prompt or ())
        # Prompts take turns over the variants.
        recipes = [recipe_for(base, templates, only or (), turn) for turn in range(variants)]
    start = time.perf_counter()
    problems: list[Problem] = []
    tell_of = Reporter()

    def report(problem: Problem) -> None:
        problems.append(problem)
        tell_of(problem)

    balance, pictures = BalanceSheet(), Pictures()
    found = reading.find(source, box_format, boxes, class_names, wanted, clip)
    if out.suffix.lower() == ".png" and any(part.images.resolve() in out.resolve().parents for part in found.parts):
        raise typer.BadParameter(
            f"{out} would lie among the pictures of {source}, and be read as one of them next time; give another --out"
        )
    classes = [name for declared in found.declared_classes() for name in declared.values()]
    items = found.read(balance, pictures)
    rows = sheet.plan_sheet(items, recipes, seed, limit, report, templates, classes, balance, pictures)
    # What a box could show instead of its class is any other class: gates are to judge here as they do in an export.
    classes += [label for row in rows for label in row.annotation.labels]
    classes += base.relabel.labels() if base.relabel is not None else ()
    recipe = dataclasses.replace(base, class_names={name: name for name in classes})
    inpainter = load(spec)
    with progress_bar(rows, desc="painting", unit="box") as progress:
        painted = (sheet.paint_row(row, recipe, inpainter, judge, pictures) for row in progress)
        if out.suffix.lower() == ".html":
            pages.write(preview_page.page(painted, f"{spec.id} on {source.resolve().name}"), out)
            tell(out, start)
        else:
            write(out, drawing.contact_sheet(map(sheet.tiles, painted)), start)
    warn(balance)
    if problems:
        raise typer.Exit(1)
