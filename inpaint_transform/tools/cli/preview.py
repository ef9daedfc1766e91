"""The preview command."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inpaint_transform.datasets.files import Problem
from inpaint_transform.tools.cli.asked import Asked, placed, read_asked, tell_of_rest
from inpaint_transform.tools.cli.options import (
    PAINTED,
    Boxes,
    Clip,
    Config,
    Format,
    Model,
    ModelOptions,
    Names,
    PageOrSheet,
    RecipeOptions,
    Seed,
    Source,
    Split,
    grouped,
    usage_errors,
)
from inpaint_transform.tools.cli.progress import Reporter, load, progress_bar, save, tell
from inpaint_transform.tools.cli.terminal import warn
from inpaint_transform.tools.cli.typed import read_class_names, read_splits

if TYPE_CHECKING:
    from inpaint_transform.core.recipe import Recipe


@grouped
def preview(
    source: Source,
    box_format: Format,
    *,
    model: Model = None,
    config: Config = None,
    models: ModelOptions,
    recipes: RecipeOptions,
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    variants: Annotated[int, typer.Option(min=1, help="Variants of each box.")] = 4,
    boxes_per_image: Annotated[
        int, typer.Option(min=1, help="Boxes to repaint in each picture.", rich_help_panel=PAINTED)
    ] = 1,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Most pictures to show. Default: 8, and as many more as show every class once."),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Show pictures of val and test too, marked; an export does not paint these."),
    ] = False,
    seed: Seed = 0,
    out: PageOrSheet = Path("preview.png"),
) -> None:
    """Show what a model makes of your own boxes: a sheet, or a page with sliders, of originals and variants.

    Pictures are those that an export would paint, of the training split.
    """
    from inpaint_transform.datasets import preview as sheets
    from inpaint_transform.datasets import preview_page, reading, splits
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.datasets.images import Pictures
    from inpaint_transform.reports import drawing
    from inpaint_transform.reports import page as pages

    class_names = read_class_names(names, box_format)
    with usage_errors():
        asked = read_asked(model, config, models, recipes)
        wanted = read_splits(split or ())
        # Prompts take turns over the variants.
        chosen = [_each_box(asked, turn, boxes_per_image) for turn in range(variants)]
    tell_of_rest(asked, config)
    spec = placed(asked.spec)
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
    declared = [name for each in found.declared_classes() for name in each.values()]
    warn(splits.table(found.parts, found.places))
    wanted_splits = splits.SPLITS if held_out else (splits.TRAIN,)
    count = sum(map(found.count, wanted_splits))
    if not count:
        raise ValueError(
            f"{source}: it has no picture of {splits.TRAIN}, and others are never painted by an export; --held-out "
            f"shows what would become of them, and --split NAME={splits.TRAIN} says that a folder is for training"
        )
    if count < len(found):
        balance.note("pictures that are held out, and not shown without --held-out", len(found) - count)
    items = found.read(balance, pictures, wanted_splits)
    typed = asked.templates if recipes.prompt else None
    sheet = sheets.plan_sheet(items, chosen, seed, limit, report, typed, declared, balance, pictures, found.split_of)
    recipe = chosen[0]
    if recipe.class_names is None:
        # What a box could show instead of its class is any other class: gates are to judge as they do in an export.
        every = [*declared, *(label for row in sheet.rows for label in row.annotation.labels)]
        every += recipe.relabel.labels() if recipe.relabel is not None else ()
        recipe = dataclasses.replace(recipe, class_names={name: name for name in every})
    for sentence in sheet.new_classes:
        warn(sentence)
    inpainter = load(spec)
    with progress_bar(sheet.rows, desc="painting", unit="box") as progress:
        painted = (sheets.paint_row(row, recipe, inpainter, asked.gate, pictures) for row in progress)
        if out.suffix.lower() == ".html":
            named = ", ".join(split for split in wanted_splits if found.count(split))
            about = preview_page.About(spec, inpainter.size, asked.gate, sheet, count, config, named)
            pages.write(preview_page.page(painted, f"{spec.id} on {source.resolve().name}", about), out)
        else:
            save(out, drawing.contact_sheet(map(sheets.tiles, painted)))
    for said in sheet.not_shown(count):
        warn(f"not shown: {said}")
    warn(balance)
    warn(f"a look only: {sheets.BESIDE_EXPORT}")
    tell(out, start, len(problems))
    if problems:
        raise typer.Exit(1)


def _each_box(asked: Asked, turn: int, count: int) -> "Recipe":
    """The recipe of a variant, in which a number of boxes is drawn however often a training draws one."""
    recipe = asked.recipe_for(turn)
    labels = recipe.include_labels
    if isinstance(recipe.box_p, Mapping):
        drawn = [label for label, share in recipe.box_p.items() if share > 0]
        labels = drawn if labels is None else [label for label in labels if label in drawn]
    return dataclasses.replace(recipe, num_boxes=count, box_p=None, include_labels=labels, when_no_box="skip")
