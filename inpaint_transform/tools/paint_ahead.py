"""Painting ahead: every look that a transform may draw in a data set, painted into its pool before training."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.labels import Label, plain_label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.faces.albumentations import BBoxInpaint
from inpaint_transform.serving.pool.pool import Drawer, Pool


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture as the transform will get it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB.
        boxes: Pixel boxes.
        labels: One a box, as training has them.
        name: What the picture is called.
    """

    image: np.ndarray
    boxes: Sequence[Box]
    labels: Sequence[Label]
    name: str = ""


@dataclass
class Ahead:
    """What was painted ahead.

    Attributes:
        there: How many looks were there already.
        accepted: How many were painted and accepted, by label.
        rejected: How many were painted and rejected, by label.
        reasons: Why.
    """

    there: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


def with_pool(
    transform: BBoxInpaint, path: Path, variants: int | None = None, serving: str | None = None
) -> BBoxInpaint:
    """The same transform with a pool in a folder, in which what is missing is painted at once.

    Args:
        transform: From options or a file.
        path: The pool's folder.
        variants: Looks of each object; None for what the transform says.
        serving: Where the model runs instead; None for what the transform says.
    """
    arguments = dict(transform.editor.arguments)
    own = dict(arguments.get("reuse") or {})
    reuse = {**own, "path": str(path), "wait": True, "frozen": False}
    if variants is not None:
        reuse["variants"] = variants
    if serving is not None:
        arguments["model"] = dataclasses.replace(ModelSpec.of(arguments["model"]), serving=serving)
    return BBoxInpaint(**{**arguments, "reuse": reuse})


def load_pipeline(path: Path) -> tuple[A.Compose | None, BBoxInpaint]:
    """The transform that ``A.save`` has written, and the transforms before it.

    Raises:
        ValueError: There is not exactly one ``BBoxInpaint``, or it does not stand in the outermost Compose.
    """
    loaded = A.load(str(path), data_format="yaml" if path.suffix in (".yaml", ".yml") else "json")
    if isinstance(loaded, BBoxInpaint):
        return None, loaded
    listed = list(getattr(loaded, "transforms", ()))
    found = [number for number, transform in enumerate(listed) if isinstance(transform, BBoxInpaint)]
    if len(found) != 1:
        raise ValueError(f"{path} has {len(found)} BBoxInpaint in its outermost Compose; save a pipeline with one")
    before = listed[: found[0]]
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
    return (A.Compose(before, bbox_params=boxes) if before else None), listed[found[0]]


def prepared(sample: Sample, before: A.Compose | None) -> Sample:
    """A sample behind the transforms that stand before the painting.

    Raises:
        ValueError: They are random, so that what is painted now would never be asked for.
    """
    if before is None:
        return sample
    given = {"image": sample.image, "bboxes": [list(box) for box in sample.boxes], "labels": list(sample.labels)}
    first, second = before(**given), before(**given)
    if not np.array_equal(first["image"], second["image"]):
        raise ValueError(
            "the transforms before BBoxInpaint are random, so no look would ever be used again; place BBoxInpaint "
            "before them"
        )
    boxes = [tuple(round(corner) for corner in box) for box in first["bboxes"]]
    # Compose makes floats of ids.
    return Sample(first["image"], boxes, [plain_label(label) for label in first["labels"]], sample.name)


def in_training_terms(labels: Sequence[str], class_names: Any) -> list[Label]:
    """A data set's class names as the labels that training uses: the ids, where the transform names ids."""
    if class_names is None:
        return list(labels)
    pairs = class_names.items() if isinstance(class_names, Mapping) else enumerate(class_names)
    ids = {str(name): _whole(key) for key, name in pairs}
    return [ids.get(label, label) for label in labels]


def _whole(key: Any) -> Label:
    return int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key


def paint_ahead(
    transform: BBoxInpaint,
    samples: Iterable[Sample],
    budget: Mapping[str, int] | None = None,
    show: Callable[[Outcome], None] = lambda _: None,
    step: Callable[[int], None] = lambda _: None,
) -> Ahead:
    """Paint every look that is missing; called again, it goes on where it stopped, however that was.

    Args:
        transform: With a pool that waits, see ``with_pool``.
        samples: The data set, as the transform will get it.
        budget: Most boxes of a label to paint, by the word for it; others are not limited.
        show: Is told of every look that was painted.
        step: Is told how many looks are done, of as many as there are boxes times variants.

    Returns:
        What was painted.

    Raises:
        InpaintError: Painting failed; what is painted is kept.
    """
    editor = transform.editor
    pool = editor.pool
    if pool is None or not pool.wait:
        raise ValueError("the transform has no pool that waits for painting; see with_pool")
    done = Ahead()
    group = 2 * ModelSpec.of(editor.arguments["model"]).resolved().max_batch_size
    waiting: list[tuple[Sample, Edit]] = []
    left = Counter(budget or {})

    def paint() -> None:
        images, edits = [sample.image for sample, _ in waiting], [[edit] for _, edit in waiting]
        _, outcomes = paint_all(editor.recipe, images, edits, editor.inpainter, editor.gate, looks=pool)
        for (_, edit), [outcome] in zip(waiting, outcomes, strict=True):
            counts = done.accepted if outcome.accepted else done.rejected
            counts[str(edit.target)] += 1
            if not outcome.accepted:
                done.reasons[str(outcome.reason)] += 1
            show(outcome)
        step(len(waiting))
        waiting.clear()

    for sample in samples:
        chosen = _within(sample, left, budget or {})
        looks = list(_looks(editor.recipe, chosen, sample, pool)) if chosen.boxes else []
        # Boxes that are never drawn, or beyond a budget, are done too.
        step(pool.reuse.variants * len(sample.boxes) - len(looks))
        for edit in looks:
            if edit is None:
                done.there += 1
                step(1)
                continue
            waiting.append((sample, edit))
            if len(waiting) >= group:
                paint()
    if waiting:
        paint()
    pool.flush()
    return done


def _within(sample: Sample, left: Counter[str], budget: Mapping[str, int]) -> Sample:
    """The sample without the boxes that no budget is left for."""
    kept = []
    for index, label in enumerate(sample.labels):
        word = str(label)
        if word in budget:
            if not left[word]:
                continue
            left[word] -= 1
        kept.append(index)
    return dataclasses.replace(
        sample, boxes=[sample.boxes[index] for index in kept], labels=[sample.labels[index] for index in kept]
    )


def _looks(recipe: Recipe, chosen: Sample, sample: Sample, pool: Pool) -> Iterator[Edit | None]:
    """The missing looks of the chosen boxes; None for each that is there."""
    height, width = sample.image.shape[:2]
    wanted = set(map(tuple, chosen.boxes))
    scene = Scene(height, width, list(sample.boxes), list(sample.labels))
    # Every box that may ever be drawn.
    shares = recipe.box_p
    everywhere = {label: float(share > 0) for label, share in shares.items()} if isinstance(shares, Mapping) else 1.0
    recipe = dataclasses.replace(recipe, box_p=everywhere)
    for variant in range(pool.reuse.variants):
        edits = plan(recipe, scene, random.Random(0), _Variant(pool.drawer(sample.image), variant))  # noqa: S311
        with pool.reading() as view:
            there = [edit.look is not None and view.slot(bytes.fromhex(edit.look.slot)) is not None for edit in edits]
        for edit, known in zip(edits, there, strict=True):
            if edit.box in wanted:
                yield None if known else edit


@dataclass
class _Variant:
    """Draws one variant of every object."""

    drawer: Drawer
    variant: int

    def draw(
        self, box: Box, window: Box, label: object, edit: Callable[[random.Random], Edit], rng: random.Random
    ) -> Edit:
        del rng
        return self.drawer.look(box, window, label, edit, self.variant)

    def region_rng(self, rng: random.Random) -> random.Random:
        return self.drawer.region_rng(rng)
