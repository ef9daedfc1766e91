"""Export: a data set together with painted copies of its pictures, as a data set on disk, by one function."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.reuse import Reuse
from inpaint_transform.core.swaps import Swap
from inpaint_transform.core.verdicts import Verdicts
from inpaint_transform.datasets import export_plan, manifest, reading, shards, splits
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.export_job import ExportJob
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.shards import Shard
from inpaint_transform.datasets.templates import PROMPT, Templates, check_prompt, recipe_for
from inpaint_transform.gates import Gate, gate_of
from inpaint_transform.serving.pool.pool import Pool
from inpaint_transform.serving.registry import load
from inpaint_transform.serving.session import current_session

logger = logging.getLogger(__name__)


class SettingsError(ValueError):
    """An argument is out of its range, or does not go with another."""


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        target: The folder.
        pictures: How many pictures each split has, originals and copies.
        edits: How many boxes were painted, in this run and in those that it goes on with.
        accepted: How many of them are in a copy.
        problems: Why pictures, labels or boxes were left out.
        balance: Pictures, entries and boxes: seen, used, left out by reason.
    """

    target: Path
    pictures: Mapping[str, int]
    edits: int
    accepted: int
    problems: Sequence[Problem]
    balance: BalanceSheet


def export(
    source: str | Path,
    target: str | Path,
    box_format: BoxFormat | str,
    *,
    to: BoxFormat | str | None = None,
    boxes: str | Path | None = None,
    names: str | None = None,
    split: Mapping[str, str] | None = None,
    clip: bool = False,
    copies: int = 1,
    p: float = 1.0,
    prompts: str | Sequence[str] | Templates | None = None,
    only: Collection[str] | None = (),
    budget: Mapping[str, int] | None = None,
    swap: Swap | Mapping[str, Any] | None = None,
    gate: Any = None,
    retries: int | None = None,
    boxes_per_image: int | None = None,
    context: float | None = None,
    min_box_size: int | None = None,
    strength: float | None = None,
    recipe: Recipe | None = None,
    model: ModelSpec | str = "tiny",
    seed: int = 0,
    workers: int = 2,
    link: bool = True,
    save_crops: bool = False,
    pool: str | Path | None = None,
    shard: str | None = None,
    merge: bool = False,
    progress: Callable[..., Iterable[Any]] | None = None,
    say: Callable[[str], None] = logger.info,
    report: Callable[[Problem], None] = logger.warning,
) -> Exported:
    """Write a data set with painted copies of its training pictures; called again, it goes on where it stopped.

    Pictures of ``val`` and ``test`` are never painted. Everything that is left out is reported, and counted by reason
    in the balance sheet. The folder is whole whenever the process ends.

    Args:
        source: A data set's folder, laid out as is usual for its format; with ``boxes`` a picture or a folder of
            pictures.
        target: The folder to write: a new one, or that of an export with the same arguments.
        box_format: ``"yolo"``, ``"coco"`` or ``"voc"``: how the boxes of ``source`` are written down.
        to: How to write them down. Default: as in ``source``.
        boxes: Label file or folder of label files; for COCO the JSON file. Default: found in ``source``.
        names: YOLO: class names as a ``data.yaml``, a file with one a line, or ``"a,b,c"``. Default: found beside the
            labels.
        split: The split of folders, ``{"dev": "val"}``, where their names and the data set itself do not say it.
        clip: Cut boxes off at the picture's edge, however far they reach beyond, as amodal boxes do.
        copies: Painted copies of each training picture, >= 0; 0 only converts.
        p: Probability of each copy, in [0, 1].
        prompts: What to paint: one prompt or several, of which one is drawn for each box; or ``{label: prompts}``, the
            prompts of every other label under None. Labels without a prompt are left alone. Default: those of
            ``recipe``.
        only: Labels to paint; empty for all, or with a swap for those that are swapped. None: for all, even so.
        budget: Most boxes to paint of a label.
        swap: Which class may become which, as ``relabel`` of ``BBoxInpaint``.
        gate: Who judges what was painted, as ``gate`` of ``BBoxInpaint``.
        retries: New seeds for what is rejected, >= 0. Default: that of ``recipe``, and so for the next four.
        boxes_per_image: Boxes to repaint in each copy, >= 1.
        context: Side of what the model sees over the box's longer side, >= 1.
        min_box_size: Boxes with a shorter side in pixels are left alone.
        strength: How far to leave the old pixels, in (0, 1].
        recipe: What to paint and where, with all settings that a transform has, in the names or ids of its
            ``class_names``; the arguments above that are given replace what it says.
        model: A preset, hub id or folder, or a ``ModelSpec``; with its ``serving="ray"`` the painters of a Ray cluster
            paint, and the files are those that one machine would write.
        seed: The same seed gives the same files.
        workers: Threads that read and write while the model paints, >= 1.
        link: Hard-link the originals where that is possible, rather than copy them.
        save_crops: Save each painted box before and after, for the pictures of ``report``.
        pool: A pool of looks (see ``Reuse``): what was painted before, for another format or with fewer copies, is
            taken from there, and what is painted is kept there.
        shard: ``"2/8"``: paint the second of eight parts, into the folder ``TARGET.shard-2-of-8``; parts may be painted
            anywhere and at any time.
        merge: Put together what all shards have painted, which lie beside the target, instead of painting.
        progress: Wraps what takes long, as ``tqdm`` does and with its arguments; ``progress=tqdm`` shows bars.
        say: Is told which folder is which split, which classes a swap brings in, and the balance sheet.
        report: Is told of each problem.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: ``source`` or ``boxes`` does not exist.
        ValueError: An argument is out of its range, the layout is not a usual one, it is not clear which pictures are
            held out, or the target holds something else.
        InpaintError: Painting failed, or the target cannot be written to; the same call goes on later.

    Examples:
        A conversion, without a model; ``copies=2, swap={"cone": "cube"}`` would paint.

        >>> import tempfile
        >>> from PIL import Image
        >>> source, target = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> (source / "images").mkdir()
        >>> Image.new("RGB", (640, 480)).save(source / "images" / "a.png")
        >>> _ = source.joinpath("a.txt").write_text("0 0.5 0.5 0.2 0.2")
        >>> done = export(source / "images", target, "yolo", boxes=source, names="cone", to="coco", copies=0)
        >>> dict(done.pictures), done.problems
        ({'train': 1}, [])
        >>> print(done.balance)
        pictures: 1 seen, 1 used
        entries: 1 seen, 1 used
        boxes: 1 seen, 1 used
    """
    source, target = Path(source), Path(target)
    box_format = BoxFormat(box_format)
    if names is not None and box_format is not BoxFormat.YOLO:
        raise SettingsError(
            f"names={names!r}: they are for yolo; {box_format.value} files hold their class names themselves"
        )
    if merge and shard is not None:
        raise SettingsError(f"merge and shard={shard!r} exclude each other: merge when all shards are exported")
    if workers < 1:
        raise SettingsError(f"workers={workers}: use a count >= 1")
    with _settings_errors():
        part = None if shard is None else Shard.of(shard)
        judge, base = gate_of(gate), recipe or Recipe()
        spec = ModelSpec.of(model) if not isinstance(model, str) else ModelSpec(model, serving="local")
        settings = export_plan.Settings(BoxFormat(to or box_format), copies, p, seed, budget or {}, link, save_crops)
        given: dict[str, Any] = {
            "num_boxes": boxes_per_image,
            "context": context,
            "min_box_size": min_box_size,
            "strength": strength,
            "relabel": Swap.of(swap),
            "retries": retries,
        }
        base = dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})
        templates = None
        if prompts is not None or recipe is None:
            templates = _templates(PROMPT if prompts is None else prompts, base)
        # A transform with a swap paints the other labels too, as what they are.
        chosen = recipe_for(base, templates, None if recipe is not None and swap is None and not only else only)
    class_names = reading.read_names(names) if names is not None else None
    found = reading.find(source, box_format, Path(boxes) if boxes is not None else None, class_names, split, clip)
    if recipe is not None:
        # Data sets have names; a transform may speak of ids.
        chosen = chosen.spoken([name for declared in found.declared_classes() for name in declared.values()] or [""])
    manifest.check_apart(target, source, found.parts)
    # Where it is painted changes nothing, so an export goes on anywhere.
    here = dataclasses.replace(spec, serving="local", address=None) if spec.serving == "ray" else spec
    arguments = {
        "source": sorted([str(part.images.resolve()), str(part.boxes.resolve())] for part in found.parts),
        "format": box_format.value,
        "to": settings.to.value,
        "names": names,
        "split": dict(split or {}),
        "clip": clip,
        "copies": copies,
        "p": p,
        "prompts": _plain(base.prompts)
        if templates is None
        else [[label, *texts] for label, texts in templates.items()],
        "only": None if only is None else list(only),
        "budget": dict(settings.budget),
        "swap": base.relabel.to_dict() if base.relabel is not None else None,
        "gate": _described(judge),
        "retries": base.retries,
        "boxes_per_image": base.num_boxes,
        "context": base.context,
        "min_box_size": base.min_box_size,
        "model": here.to_dict(),
        "strength": base.strength,
        "seed": seed,
        "link": link,
        "save_crops": save_crops,
    }
    if further := _further(base):
        arguments["recipe"] = _plain(further)
    if part is not None:
        target = part.folder(target)
        arguments["shard"] = str(part)
    painted = shards.read(target, arguments) if merge else {}
    manifest.check(target, arguments)  # before the source is read, which may take long
    say(splits.table(found.parts, found.places))
    problems: list[Problem] = []

    def tell(problem: Problem) -> None:
        problems.append(problem)
        report(problem)

    balance, pictures = BalanceSheet(), Pictures()
    plan = export_plan.make_plan(found, chosen, settings, tell, balance, pictures, templates or {}, progress)
    for sentence in plan.new_classes:
        say(sentence)
    with manifest.Manifest(target, arguments) as state:
        job = ExportJob(plan, target, settings, state, here, pictures, tell)
        groups: Sequence[Sequence[export_plan.Copy]] = export_plan.groups_of(
            plan.copies, spec.resolved().max_batch_size
        )
        if part is not None:
            groups = part.share(groups)
        else:
            for _ in _shown(progress, job.place_originals(workers), "originals", len(plan.originals)):
                pass
        if merge:
            merging = shards.merge(plan, settings.to, target, state, painted)
            for _ in _shown(progress, merging, "merging", len(plan.copies)):
                pass
        done = job.finished
        edits, accepted = sum(copy.edits for copy in done), sum(copy.accepted for copy in done)
        copies_here = sum(map(len, groups))
        if len(done) < copies_here and not merge:
            inpainter = load(spec, say)
            # A model of this process stays for the next export; the cluster is left.
            with contextlib.closing(inpainter) if spec.serving == "ray" else contextlib.nullcontext():
                looks = None
                if pool is not None:
                    reuse = Reuse(path=str(pool), wait=True)
                    looks = Pool(reuse, here, chosen, judge, current_session(), lambda: inpainter, lambda: 0)
                slots, verdicts = (lambda: getattr(inpainter, "slots", 1)), Verdicts()

                def watch(outcomes: Iterable[Outcome]) -> None:
                    if (hopeless := verdicts.add(outcomes, judge)) is not None:
                        say(hopeless)

                painting = job.paint(chosen, inpainter, groups, workers, judge, slots, looks, watch)
                bar = _shown(progress, painting, "painting", copies_here, len(done))
                for copy in bar:
                    edits, accepted = edits + copy.edits, accepted + copy.accepted
                    if hasattr(bar, "set_postfix_str"):
                        bar.set_postfix_str(f"{accepted / max(edits, 1):.0%} accepted")
        if part is not None:
            shards.finish(state)
            return Exported(target, {}, edits, accepted, problems, balance)
        written = job.finish(balance)
    say(str(balance))
    if copies and splits.VAL not in written:
        say(f"{target} has no {splits.VAL} split yet: measure on pictures that were not painted")
    return Exported(target, written, edits, accepted, problems, balance)


@contextlib.contextmanager
def _settings_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _described(gate: Gate | None) -> Any:
    try:
        return None if gate is None else gate.to_dict()
    except TypeError:  # a function, of which nothing but the name can be written down
        return gate.name if gate is not None else None


def _further(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe is not as it is by default, and is no argument of an export by itself."""
    own = {"prompts", "num_boxes", "context", "min_box_size", "strength", "relabel", "retries"}
    plain = Recipe()
    names = [field.name for field in dataclasses.fields(Recipe) if field.name not in own]
    return {name: getattr(recipe, name) for name in names if getattr(recipe, name) != getattr(plain, name)}


def _plain(value: Any) -> Any:
    """As JSON has it; of a function nothing but the name can be written down."""
    return json.loads(json.dumps(value, default=lambda other: getattr(other, "__name__", str(other))))


def _templates(prompts: str | Sequence[str] | Templates, recipe: Recipe) -> Templates:
    given = prompts if isinstance(prompts, Mapping) else {None: prompts}
    found = {label: [texts] if isinstance(texts, str) else list(texts) for label, texts in given.items()}
    if not all(found.values()) or not found:
        raise ValueError(f"prompts={prompts!r}: give at least one prompt, and one for each label that you name")
    for texts in found.values():
        for text in texts:
            check_prompt(text, attributes=recipe.attributes)
    return found


def _shown(
    progress: Callable[..., Iterable[Any]] | None, items: Iterator[Any], what: str, total: int, initial: int = 0
) -> Any:
    return items if progress is None else progress(items, desc=what, total=total, initial=initial, unit="image")
