"""The export command."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import BoxFormat, find_pictures
from inpaint_transform.tools.cli.options import (
    Boxes,
    Budget,
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
    Steps,
    Strength,
    Swaps,
    read_budget,
    read_class_names,
    read_gates,
    read_prompts,
    read_swaps,
    recipe_for,
    usage_errors,
)
from inpaint_transform.tools.cli.painting import load
from inpaint_transform.tools.cli.terminal import say, warn


def export(
    source: Source,
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; that of a broken-off run goes on.")],
    box_format: Format,
    to: Annotated[BoxFormat | None, typer.Option(help="How to write them down in DST. Default: as in SRC.")] = None,
    boxes: Boxes = None,
    names: Names = None,
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
) -> None:
    """Write a data set with painted copies of its pictures; run it again to go on where it stopped."""
    from tqdm import tqdm

    from inpaint_transform.core.recipe import Recipe
    from inpaint_transform.datasets import export_plan, manifest
    from inpaint_transform.datasets import layout as layouts
    from inpaint_transform.datasets.export import Export
    from inpaint_transform.gates import spec_with_clip

    class_names = read_class_names(names, box_format)
    with usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        most = read_budget(budget or ())
        settings = export_plan.Settings(to or box_format, copies, p, seed, most, link, save_crops)
        base = Recipe(
            num_boxes=boxes_per_image,
            context=context,
            min_box_size=min_box_size,
            strength=strength,
            relabel=read_swaps(swap or ()),
            retries=retries,
        )
        judge = read_gates(gate or ())
        recipe = recipe_for(base, read_prompts(prompt or ()), only or ())
    start = time.perf_counter()
    parts = [layouts.Part(source, boxes)] if boxes is not None else layouts.find_parts(source, box_format)
    layouts.check_target(target, parts)
    arguments = {
        "source": [[str(part.images.resolve()), str(part.boxes.resolve())] for part in parts],
        "format": box_format.value,
        "to": settings.to.value,
        "names": names,
        "copies": copies,
        "p": p,
        "prompt": prompt,
        "only": only,
        "budget": budget,
        "swap": swap,
        "gate": gate,
        "retries": retries,
        "boxes_per_image": boxes_per_image,
        "context": context,
        "min_box_size": min_box_size,
        "model": spec.to_dict(),
        "strength": strength,
        "seed": seed,
        "link": link,
        "save_crops": save_crops,
    }
    manifest.check(target, arguments)  # before the source is read, which may take long
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(problem)
        warn(problem)

    classes = export_plan.classes_of(parts, box_format, class_names, settings.to)
    pictures = sum(len(find_pictures(part.images)) for part in parts)
    with tqdm(export_plan.read_parts(parts, box_format, class_names), "reading", pictures, unit="image") as found:
        plan = export_plan.make_plan(found, classes, recipe, settings, report)
    with manifest.Manifest(target, arguments) as state:
        job = Export(plan, target, settings, state, spec)
        with tqdm(job.place_originals(workers), "originals", len(plan.originals), unit="image") as progress:
            for _ in progress:
                pass
        done = job.finished
        edits, accepted = sum(copy.edits for copy in done), sum(copy.accepted for copy in done)
        if len(done) < len(plan.copies):
            batch = spec.resolved().max_batch_size
            painting = job.paint(recipe, load(spec_with_clip(spec, judge)), batch, workers, report, judge)
            with tqdm(painting, "painting", len(plan.copies), initial=len(done), unit="image") as progress:
                for copy in progress:
                    edits, accepted = edits + copy.edits, accepted + copy.accepted
                    progress.set_postfix_str(f"{accepted / max(edits, 1):.0%} accepted")
        written = job.finish()
    took = time.perf_counter() - start
    say(
        f"wrote {target}: {', '.join(f'{count} {split}' for split, count in written.items())} pictures, "
        f"{accepted} of {edits} painted boxes accepted, in {took:.1f} s"
    )
    if problems:
        raise typer.Exit(1)
