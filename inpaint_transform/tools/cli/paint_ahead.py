"""The paint-ahead command."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from inpaint_transform.tools.cli.asked import placed, read_asked
from inpaint_transform.tools.cli.options import (
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
    png,
    usage_errors,
)
from inpaint_transform.tools.cli.progress import INTERRUPTED, Reporter, named, progress_bar, write
from inpaint_transform.tools.cli.terminal import say, warn
from inpaint_transform.tools.cli.typed import read_budget, read_class_names, read_splits

if TYPE_CHECKING:
    from inpaint_transform.core.edit import Outcome
    from inpaint_transform.reports.drawing import Tile
    from inpaint_transform.serving.pool.pool import Pool
    from inpaint_transform.tools.paint_ahead import Sample

# Of the contact sheet.
MAX_SHOWN = 48
COLUMNS = 6


@grouped
def paint_ahead(
    source: Source,
    box_format: Format,
    pool: Annotated[Path, typer.Option(help="Folder of the pool; a new one, or one to go on with.")],
    *,
    model: Model = None,
    config: Config = None,
    models: ModelOptions,
    recipes: RecipeOptions,
    variants: Annotated[
        int | None, typer.Option(min=1, help="Looks of each box. Default: the transform's, or 3.")
    ] = None,
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    budget: Budget = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Most bytes of the pool. Default: the transform's, or 4GB.")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Let the painters of serve --ray paint.")] = False,
    address: Annotated[
        str | None, typer.Option(help="With --ray: host:port of the cluster's head. Default: that of this machine.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Paint part K of N only, into the pool POOL.shard-K-of-N.")
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Put the shards beside POOL together, with the options they were painted with."),
    ] = False,
    out: Annotated[Path, typer.Option(help="PNG file to write: some of what was painted.", callback=png)] = Path(
        "paint-ahead.png"
    ),
) -> None:
    """Fill a pool before training, so that no epoch is cold; run it again to go on where it stopped."""
    from inpaint_transform.core.labels import class_name
    from inpaint_transform.core.verdicts import Verdicts
    from inpaint_transform.datasets import reading, shards, splits
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.datasets.formats.base import Annotation
    from inpaint_transform.datasets.images import Pictures
    from inpaint_transform.datasets.templates import new_classes, no_class
    from inpaint_transform.faces.albumentations import BBoxInpaint
    from inpaint_transform.reports import drawing
    from inpaint_transform.serving import registry
    from inpaint_transform.serving.pool import merging
    from inpaint_transform.tools import paint_ahead as ahead

    if address is not None and not ray:
        raise typer.BadParameter(f"--address {address} goes with --ray")
    if merge and shard is not None:
        raise typer.BadParameter(f"--merge and --shard {shard} exclude each other: merge when all shards are painted")
    class_names = read_class_names(names, box_format)
    with usage_errors():
        wanted, limits = read_splits(split or ()), read_budget(budget or ())
        asked = read_asked(model, config, models, recipes)
        part = None if shard is None else shards.Shard.of(shard)
    spec = placed(asked.spec, ray, address) if ray else asked.spec
    start = time.perf_counter()
    tell_of = Reporter()
    found = reading.find(source, box_format, boxes, class_names, wanted, clip)
    warn(splits.table(found.parts, found.places))
    pictures, balance, problems = Pictures(), BalanceSheet(), 0
    annotations: list[Annotation] = []
    for item in found.read(balance, pictures):
        if not isinstance(item, Annotation):
            problems += 1
            tell_of(item)
        elif (where := found.places[item.image].split) == splits.TRAIN:
            annotations.append(item)
            balance.use(item)
        else:
            balance.lose(item, f"of the split {where}")
    before = None if asked.saved is None else asked.saved.pipeline_before
    with usage_errors():
        labels = sorted({label for one in annotations for label in one.labels})
        if unknown := sorted({*(recipes.only or ()), *limits} - set(labels)):
            raise ValueError(no_class(unknown[0], labels))
        declared = {name for each in found.declared_classes() for name in each.values()}
        for sentence in new_classes(asked.recipe, sorted({*declared, *labels})):
            warn(sentence)
        arguments = asked.arguments(labels)
        arguments["model"] = spec
        if max_bytes is not None:
            arguments["reuse"] = {**(arguments.get("reuse") or {}), "max_bytes": max_bytes}
        inpaint = ahead.with_pool(BBoxInpaint(**arguments), pool if part is None else part.folder(pool), variants)
        numbers = inpaint.editor.recipe.class_names
        if labels:  # or it would only be said when such a box has its turn
            inpaint.editor.recipe.check_labels(ahead.in_training_terms(labels, numbers), inpaint.editor.gate)
    looks = cast("Pool", inpaint.editor.pool)
    chosen = list(zip(annotations, ahead.within((one.labels for one in annotations), limits), strict=True))
    whole = ahead.described(chosen, looks.reuse.variants)
    if merge:
        _merge(pool, looks, whole)
        return
    mine = ahead.share(chosen, part)

    def samples() -> Iterator["Sample"]:
        for one, of_budget in mine:
            labels = ahead.in_training_terms(one.labels, numbers)
            yield ahead.prepared(ahead.Sample(pictures.load(one.image), one.boxes, labels, of_budget), before)

    tiles: list[Tile] = []
    count = sum(len(one.boxes) for one, _ in mine)
    total = count * looks.reuse.variants
    # What is in this process is loaded when it is needed; a cluster is joined, and left in the end.
    inpainter = registry.load(spec, warn) if spec.serving == "ray" else None
    try:
        leaving = contextlib.nullcontext() if inpainter is None else contextlib.closing(inpainter)
        with leaving, progress_bar(None, total=total, desc="painting", unit="look") as bar:
            verdicts = Verdicts()

            def show(outcome: "Outcome") -> None:
                if (hopeless := verdicts.add([outcome], inpaint.editor.gate)) is not None:
                    warn(hopeless)
                if len(tiles) < MAX_SHOWN:
                    tiles.append(_tile(outcome, class_name(outcome.edit.target, numbers)))

            done = ahead.paint_ahead(inpaint, samples(), inpainter, show, bar.update)
    except KeyboardInterrupt:
        warn(f"stopped; what is painted is in {looks.reuse.path}, and the same command goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    for reason, count in done.reasons.most_common():
        warn(f"{count} not taken: {reason}")
    warn(balance)
    if tiles:
        write(out, drawing.contact_sheet(tiles[row : row + COLUMNS] for row in range(0, len(tiles), COLUMNS)), start)
    painted, rejected = done.accepted.total(), done.rejected.total()
    say(
        f"{painted} looks painted, {rejected} rejected, {done.there} were there; they are in {looks.reuse.path}"
        f"{named(problems)}"
    )
    say(done.balance(count, looks.reuse.variants))
    if done.gone:
        warn(
            f"{done.gone} looks had to go for others, for max_bytes={looks.reuse.max_bytes!r} is too little for all of "
            f"them: give a larger --max-bytes or fewer --variants and run the command again"
        )
    if part is not None and not done.gone:
        merging.finish_part(looks, whole)
        say(f"when all {part.count} shards lie beside {pool}, run this command with --merge instead of --shard {part}")
    elif part is None:
        _tell_training(pool, looks.reuse.variants)
    if problems:
        raise typer.Exit(1)


def _merge(folder: Path, looks: "Pool", whole: str) -> None:
    from inpaint_transform.datasets import shards
    from inpaint_transform.serving.pool import merging

    with usage_errors():
        taken = merging.merge(looks, shards.folders(folder), whole)
    say(f"{taken} looks of the shards are in {folder} now")
    _tell_training(folder, looks.reuse.variants)


def _tell_training(folder: Path, variants: int) -> None:
    reuse = {"path": str(folder), "variants": variants}
    say(
        f"train with the same model, prompts and settings, and reuse={reuse}; with 'frozen': True in it no model is "
        f"loaded and nothing is painted"
    )


def _tile(outcome: "Outcome", name: str) -> "Tile":
    from inpaint_transform.reports.drawing import Tile

    after = outcome.after() if outcome.accepted else None
    note = "" if outcome.accepted else f"not taken: {outcome.reason}"
    box = outcome.edit.box_in_window
    return Tile(outcome.before if after is None else after, outcome.edit.prompt, [box], [name], 0, note, after is None)
