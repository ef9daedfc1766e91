"""Preview: for some boxes of a picture, what the model makes of each prompt, as rows of a contact sheet."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inpaint_transform.core import seeds
from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, obstacles, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import Annotation
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.splits import TRAIN
from inpaint_transform.datasets.templates import Templates, check_labels, new_classes
from inpaint_transform.reports.drawing import Tile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from inpaint_transform.core.protocol import Inpainter
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.gates import Gate

# What a preview has in common with an export, and what it has not.
BESIDE_EXPORT = (
    "an export with these options and the same seed paints the same kind of pictures with the same model, prompts and "
    "gates, but draws boxes, prompts and noise anew, so its copies look different in detail"
)
# Pictures that are shown where nobody says how many, and that are read in search of a class.
MIN_PICTURES = 8
MAX_SEARCHED = 1000


@dataclass(frozen=True)
class Row:
    """One box of one picture and the edits to try on it, each apart from the others.

    Attributes:
        annotation: The picture and all its boxes.
        index: Which of the boxes, or None for a random region.
        edits: One edit a variant, at least one.
        split: What the picture is for; an export paints those of ``train`` alone.
    """

    annotation: Annotation
    index: int | None
    edits: tuple[Edit, ...]
    split: str = TRAIN

    @property
    def held_out(self) -> str:
        """What to say of a picture that an export would leave as it is; empty for others."""
        return "" if self.split == TRAIN else f"{self.split}: held out, an export does not paint it"


@dataclass(frozen=True, eq=False)
class PaintedRow:
    """A row after painting.

    Attributes:
        row: What was planned.
        image: The picture, ``(H, W, 3)`` uint8, RGB.
        outcomes: What became of each variant.
        seconds: How long painting and judging took for all of them.
    """

    row: Row
    image: np.ndarray
    outcomes: tuple[Outcome, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """What a preview will show, and what was seen of the data set on the way.

    Attributes:
        rows: At least one.
        read: How many pictures were read.
        paintable: How many of their boxes may be painted.
        missing: Classes of which no box is shown, although their boxes are wanted.
        passed: Those of them that have boxes which may be painted, in the pictures that were read.
        new_classes: What to say of the classes that a swap brings in, as far as the pictures were read.
    """

    rows: Sequence[Row]
    read: int
    paintable: int
    missing: Sequence[str] = ()
    passed: Sequence[str] = ()
    new_classes: Sequence[str] = ()

    def not_shown(self, pictures: int) -> list[str]:
        """Why boxes of some classes are not shown, a sentence each.

        Args:
            pictures: How many pictures there are.
        """
        said = []
        if self.passed:
            said.append(
                f"{', '.join(self.passed)}: the pictures have boxes that may be painted, and this limit of pictures "
                f"and of boxes in each leaves no room for one"
            )
        if unmet := [one for one in self.missing if one not in self.passed]:
            read = f"the first {self.read} of {pictures} pictures" if self.read < pictures else "any picture"
            said.append(f"{', '.join(unmet)}: no box that may be painted is in {read}")
        return said


def plan_sheet(
    found: Iterable[Annotation | Problem],
    recipes: Sequence[Recipe],
    seed: int,
    limit: int | None,
    report: Callable[[Problem], None],
    templates: Templates | None = None,
    declared: Collection[str] = (),
    balance: BalanceSheet | None = None,
    pictures: Pictures | None = None,
    split_of: Callable[[Path], str] = lambda _: TRAIN,
) -> Sheet:
    """Plan rows for the first pictures that have a box to paint, classes that are not shown yet before others.

    Args:
        found: Pictures and problems, see ``reading.read``; read only as far as needed.
        recipes: See ``plan_rows``.
        seed: See ``plan_rows``.
        limit: Largest number of pictures, >= 1. None: ``MIN_PICTURES``, and as many more as it takes to show a box of
            every class, of which the first ``MAX_SEARCHED`` pictures have one.
        report: Is told every problem met on the way.
        templates: The prompts of each label, each of which must be a class.
        declared: The classes that the data set declares.
        balance: Is told which pictures are shown, and which are not.
        pictures: Decodes, and keeps the pictures that will be painted.
        split_of: The split of a picture.

    Raises:
        ValueError: Not a single box can be painted, or a label is no class; the message says what there is.
    """
    rows: list[Row] = []
    read, paintable, usable = 0, 0, 0
    pictures = pictures or Pictures()
    recipe = recipes[0]
    classes = {*declared, *map(str, recipe.relabel.labels() if recipe.relabel is not None else ())}
    labels: set[str] = set()
    shown: set[str] = set()
    met: set[str] = set()
    for item in found:
        if isinstance(item, Problem):
            report(item)
            continue
        read += 1
        reasons = obstacles(recipe, Scene(item.height, item.width, item.boxes, item.labels))
        paintable += reasons.count(None)
        met.update(label for label, reason in zip(item.labels, reasons, strict=True) if reason is None)
        labels.update(item.labels)
        missing = _wanted(recipe, [*declared, *labels]) - shown
        more = usable < (MIN_PICTURES if limit is None else limit)
        if more or (limit is None and missing & set(item.labels)):
            planned = [
                dataclasses.replace(row, split=split_of(item.image))
                for row in plan_rows(item, recipes, seed, pictures, missing, others=more)
            ]
            rows += planned
            shown |= {str(row.edits[0].label) for row in planned}
            usable += bool(planned)
            if planned:
                pictures.keep(item.image)
            if balance is not None and (more or planned):
                _enter(balance, item, shown=bool(planned))
        enough = usable >= (MIN_PICTURES if limit is None else limit)
        searching = limit is None and read < MAX_SEARCHED and missing - shown
        # A label that no picture had yet may still come, or be a prompt that was taken for one.
        if enough and not searching and not {one for one in templates or () if one is not None} - classes - labels:
            break
    check_labels(templates or {}, sorted(classes | labels))
    if not rows and read:
        raise ValueError(
            f"nothing to paint: {read} pictures have no box whose shorter side is at least "
            f"{recipe.min_box_size} pixels and whose label is wanted and has a prompt; labels found: "
            f"{', '.join(sorted(labels)) or 'none'}"
        )
    if not rows:
        raise ValueError("nothing to paint: no picture could be read together with its boxes")
    unseen = _wanted(recipe, [*declared, *labels]) - shown
    new = new_classes(recipe, sorted({*declared, *labels}))
    return Sheet(rows, read, paintable, sorted(unseen), sorted(unseen & met), new)


def _wanted(recipe: Recipe, classes: Iterable[str]) -> set[str]:
    """The classes whose boxes a recipe is for."""
    labels = recipe.include_labels
    return {one for one in classes if (labels is None or one in labels) and one not in recipe.exclude_labels}


def _enter(balance: BalanceSheet, annotation: Annotation, shown: bool) -> None:
    if shown:
        balance.use(annotation)
    else:
        balance.lose(annotation, "of pictures without a box to paint")


def plan_rows(
    annotation: Annotation,
    recipes: Sequence[Recipe],
    seed: int,
    pictures: Pictures | None = None,
    first: Collection[str] = (),
    others: bool = True,
) -> list[Row]:
    """Choose boxes of a picture and plan the variants of each.

    Args:
        annotation: The picture and its boxes.
        recipes: One a variant, at least one. They differ in their prompts at most; the first chooses the boxes.
        seed: Together with the picture it decides every draw, whatever other pictures there are; of a box that is shown
            so the edits, whatever ``first`` is.
        pictures: Decodes.
        first: Labels of which one box each is chosen before any other.
        others: Whether boxes of other labels are chosen too.

    Returns:
        One row a box, as many as the recipe paints in a picture, in the order of the boxes; empty where no box is
        eligible.
    """
    image = (pictures or Pictures()).load(annotation.image)
    height, width = image.shape[:2]
    scene = Scene(height, width, annotation.boxes, annotation.labels)

    def draw(number: int) -> random.Random:
        return seeds.content_rng(seed, number, image, annotation.boxes)

    count = recipes[0].num_boxes
    most = count if isinstance(count, int) else count[1]
    chosen: dict[int | None, Edit] = {}
    for label in (label for label in dict.fromkeys(annotation.labels) if label in first):
        if len(chosen) < most:
            alone = dataclasses.replace(recipes[0], include_labels=[label], num_boxes=1)
            chosen |= {edit.index: edit for edit in plan(alone, scene, draw(0))}
    for edit in plan(recipes[0], scene, draw(0)) if others else ():
        if len(chosen) < most:
            chosen.setdefault(edit.index, edit)
    rows = []
    for index, edit in sorted(chosen.items(), key=lambda item: item[0] or 0):
        rng = draw(1 if index is None else 2 + index)
        edits = []
        for recipe in recipes:
            [drawn] = plan(recipe, Scene(height, width, [edit.box], [edit.label]), rng)
            # What is painted of the box depends on its neighbours, which the draw above knew.
            what = ("prompt", "strength", "seed", "new_label", "reference")
            edits.append(dataclasses.replace(edit, **{name: getattr(drawn, name) for name in what}))
        rows.append(Row(annotation, index, tuple(edits)))
    return rows


def paint_row(
    row: Row, recipe: Recipe, inpainter: Inpainter, gate: Gate | None = None, pictures: Pictures | None = None
) -> PaintedRow:
    """Paint the variants of a row in one batch.

    Args:
        row: What to paint.
        recipe: The settings that the row was planned with.
        inpainter: Who paints.
        gate: Judges each variant.
        pictures: Decodes.

    Raises:
        InpaintError: The inpainter or the gate failed.
    """
    image = (pictures or Pictures()).load(row.annotation.image)
    images, edits = [image] * len(row.edits), [[edit] for edit in row.edits]
    start = time.perf_counter()
    _, outcomes = paint_all(recipe, images, edits, inpainter, gate)
    return PaintedRow(row, image, tuple(outcome for [outcome] in outcomes), time.perf_counter() - start)


def tiles(painted: PaintedRow) -> list[Tile]:
    """A row of the sheet: the whole picture, a close-up of the original, and a close-up of each variant."""
    annotation, index, edit = painted.row.annotation, painted.row.index, painted.row.edits[0]
    label = str(edit.label)
    close_box = edit.box_in_window
    row = [
        Tile(
            painted.image, annotation.image.name, annotation.boxes, annotation.labels, index, painted.row.held_out, True
        ),
        Tile(painted.outcomes[0].before, f"original: {label}", [close_box], [label], 0),
    ]
    for outcome in painted.outcomes:
        after = outcome.after() if outcome.accepted else None
        close_up, shown = (outcome.before, label) if after is None else (after, str(outcome.edit.target))
        row.append(Tile(close_up, outcome.edit.prompt, [close_box], [shown], 0, words(outcome), not outcome.accepted))
    return row


def words(outcome: Outcome) -> str:
    """What the gates said of a variant, and why it was rejected."""
    scores = ", ".join(f"{gate} {score:.2f}" for gate, score in outcome.scores.items())
    return scores if outcome.accepted else ": ".join(filter(None, ["original kept", outcome.reason, scores]))
