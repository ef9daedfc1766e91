"""Preview: for some boxes of a picture, what the model makes of each prompt, as rows of a contact sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inpaint_transform.core import seeds
from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import Annotation
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.templates import Templates, check_labels
from inpaint_transform.reports.drawing import Tile

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.protocol import Inpainter
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.gates import Gate


@dataclass(frozen=True)
class Row:
    """One box of one picture and the edits to try on it, each apart from the others.

    Attributes:
        annotation: The picture and all its boxes.
        index: Which of the boxes, or None for a random region.
        edits: One edit a variant, at least one.
    """

    annotation: Annotation
    index: int | None
    edits: tuple[Edit, ...]


@dataclass(frozen=True, eq=False)
class PaintedRow:
    """A row after painting.

    Attributes:
        row: What was planned.
        image: The picture, ``(H, W, 3)`` uint8, RGB.
        outcomes: What became of each variant.
    """

    row: Row
    image: np.ndarray
    outcomes: tuple[Outcome, ...]


def plan_sheet(
    found: Iterable[Annotation | Problem],
    recipes: Sequence[Recipe],
    seed: int,
    limit: int,
    report: Callable[[Problem], None],
    templates: Templates | None = None,
    declared: Collection[str] = (),
    balance: BalanceSheet | None = None,
    pictures: Pictures | None = None,
) -> list[Row]:
    """Plan rows for the first ``limit`` pictures that have a box to paint.

    Args:
        found: Pictures and problems, see ``reading.read``; read only as far as needed.
        recipes: See ``plan_rows``.
        seed: See ``plan_rows``.
        limit: Largest number of pictures, >= 1.
        report: Is told every problem met on the way.
        templates: The prompts of each label, each of which must be a class.
        declared: The classes that the data set declares.
        balance: Is told which pictures are shown, and which are not.
        pictures: Decodes, and keeps the pictures that will be painted.

    Returns:
        At least one row.

    Raises:
        ValueError: Not a single box can be painted, or a label is no class; the message says what there is.
    """
    rows: list[Row] = []
    seen, usable = 0, 0
    pictures = pictures or Pictures()
    swap = recipes[0].relabel
    classes = {*declared, *map(str, swap.labels() if swap is not None else ())}
    labels: set[str] = set()
    for item in found:
        if isinstance(item, Problem):
            report(item)
            continue
        seen += 1
        labels.update(item.labels)
        if usable < limit:
            planned = plan_rows(item, recipes, seed, pictures)
            rows += planned
            usable += bool(planned)
            if planned:
                pictures.keep(item.image)
            if balance is not None:
                _enter(balance, item, shown=bool(planned))
        # A label that no picture had yet may still come, or be a prompt that was taken for one.
        if usable == limit and not {label for label in templates or () if label is not None} - classes - labels:
            break
    check_labels(templates or {}, sorted(classes | labels))
    if not rows and seen:
        raise ValueError(
            f"nothing to paint: {seen} pictures have no box whose shorter side is at least "
            f"{recipes[0].min_box_size} pixels and whose label is wanted and has a prompt; labels found: "
            f"{', '.join(sorted(labels)) or 'none'}"
        )
    if not rows:
        raise ValueError("nothing to paint: no picture could be read together with its boxes")
    return rows


def _enter(balance: BalanceSheet, annotation: Annotation, shown: bool) -> None:
    if shown:
        balance.use(annotation)
    else:
        balance.lose(annotation, "of pictures without a box to paint")


def plan_rows(
    annotation: Annotation, recipes: Sequence[Recipe], seed: int, pictures: Pictures | None = None
) -> list[Row]:
    """Choose boxes of a picture and plan the variants of each.

    Args:
        annotation: The picture and its boxes.
        recipes: One a variant, at least one. They differ in their prompts at most; the first chooses the boxes.
        seed: Together with the picture it decides every draw, whatever other pictures there are.
        pictures: Decodes.

    Returns:
        One row a box; empty where no box is eligible.
    """
    image = (pictures or Pictures()).load(annotation.image)
    height, width = image.shape[:2]
    rng = seeds.content_rng(seed, 0, image, annotation.boxes)
    rows = []
    for chosen in plan(recipes[0], Scene(height, width, annotation.boxes, annotation.labels), rng):
        edits = []
        for recipe in recipes:
            [drawn] = plan(recipe, Scene(height, width, [chosen.box], [chosen.label]), rng)
            # What is painted of the box depends on its neighbours, which the draw above knew.
            what = ("prompt", "strength", "seed", "new_label")
            edits.append(dataclasses.replace(chosen, **{name: getattr(drawn, name) for name in what}))
        rows.append(Row(annotation, chosen.index, tuple(edits)))
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
    _, outcomes = paint_all(recipe, images, edits, inpainter, gate)
    return PaintedRow(row, image, tuple(outcome for [outcome] in outcomes))


def tiles(painted: PaintedRow) -> list[Tile]:
    """A row of the sheet: the whole picture, a close-up of the original, and a close-up of each variant."""
    annotation, index, edit = painted.row.annotation, painted.row.index, painted.row.edits[0]
    label = str(edit.label)
    close_box = edit.box_in_window
    row = [
        Tile(painted.image, annotation.image.name, annotation.boxes, annotation.labels, index),
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
