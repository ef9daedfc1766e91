"""Painting ahead: every look that a transform may draw in a data set, painted into its pool before training.

Looks are painted in groups of two full batches, cut within blocks of pictures. Groups are the same in every run, on
every shard and however often it was killed, so the pixels are the same too, although neighbours in a batch may change
a result by a grey level.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import albumentations as A
import numpy as np

from inpaint_transform.core.boxes import Box, from_pixels
from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.labels import Label, class_name, plain_label
from inpaint_transform.core.looks import Kept
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, obstacles, plan_each
from inpaint_transform.core.protocol import Inpainter, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.formats.base import Annotation
from inpaint_transform.datasets.shards import Shard
from inpaint_transform.faces.albumentations import BBoxInpaint
from inpaint_transform.serving.pool.pool import Drawer, Pool

Item = TypeVar("Item")

# Pictures whose looks may share a group; a shard takes whole blocks. Few enough that shards get equally much to do, and
# enough that the last group of a block, which is rarely full, does not matter.
BLOCK = 16
MAX_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture as the transform will get it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB.
        boxes: Pixel boxes.
        labels: One a box, as training has them.
        wanted: Whether looks of each box are to be painted, where a budget leaves some out; None for all.
    """

    image: np.ndarray
    boxes: Sequence[Box]
    labels: Sequence[Label]
    wanted: Sequence[bool] | None = None


@dataclass
class Ahead:
    """What was painted ahead.

    Attributes:
        boxes: How many boxes were looked at.
        left_out: How many of them have no looks, by reason.
        there: How many looks were there already.
        accepted: How many were painted and accepted, by label.
        rejected: How many were painted and rejected, by label.
        reasons: Why.
        gone: How many of all these looks are not in the pool in the end, because it has no room for them.
    """

    boxes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    there: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    gone: int = 0

    def balance(self, boxes: int, variants: int) -> str:
        """What became of all boxes, as one sentence.

        Args:
            boxes: How many the pictures have.
            variants: Looks of each object.
        """
        left = self.left_out.copy()
        if lost := boxes - self.boxes:
            left["dropped by the transforms before"] += lost
        some = boxes - left.total()
        why = ", ".join(f"{count} {reason}" for reason, count in left.most_common())
        looks = f"{variants} look{'s' if variants > 1 else ''} each, {some * variants} in all"
        return f"of {boxes} boxes {some} have {looks}{f'; left out: {why}' if why else ''}"


def with_pool(transform: BBoxInpaint, path: Path, variants: int | None = None) -> BBoxInpaint:
    """The same transform with a pool in a folder, in which what is missing is painted at once.

    Args:
        transform: From options or a file.
        path: The pool's folder.
        variants: Looks of each object; None for what the transform says.
    """
    arguments = dict(transform.editor.arguments)
    own = dict(arguments.get("reuse") or {})
    reuse = {**own, "path": str(path), "wait": True, "frozen": False}
    if variants is not None:
        reuse["variants"] = variants
    return BBoxInpaint(**{**arguments, "reuse": reuse})


def prepared(sample: Sample, before: A.Compose | None) -> Sample:
    """A sample behind the transforms that stand before the painting.

    Raises:
        ValueError: They are random, so that what is painted now would never be asked for.
    """
    if before is None:
        return sample
    wanted = [1] * len(sample.boxes) if sample.wanted is None else [int(one) for one in sample.wanted]
    given = {
        "image": sample.image,
        "bboxes": [list(box) for box in sample.boxes],
        "labels": list(sample.labels),
        "wanted": wanted,
    }
    first, second = before(**given), before(**given)
    if not np.array_equal(first["image"], second["image"]):
        raise ValueError(
            "the transforms before BBoxInpaint are random, so no look would ever be used again; place BBoxInpaint "
            "before them"
        )
    boxes = from_pixels(first["bboxes"], *first["image"].shape[:2])
    # Compose makes floats of ids.
    labels, kept = [plain_label(label) for label in first["labels"]], [bool(one) for one in first["wanted"]]
    return Sample(first["image"], boxes, labels, kept)


def in_training_terms(labels: Sequence[str], class_names: Any) -> list[Label]:
    """A data set's class names as the labels that training uses: the ids, where the transform names ids."""
    if class_names is None:
        return list(labels)
    pairs = class_names.items() if isinstance(class_names, Mapping) else enumerate(class_names)
    ids = {str(name): _whole(key) for key, name in pairs}
    return [ids.get(label, label) for label in labels]


def _whole(key: Any) -> Label:
    return int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key


def within(labels: Iterable[Sequence[str]], budget: Mapping[str, int]) -> list[list[bool]]:
    """Which boxes a budget has room for: the first ones of each label.

    Args:
        labels: The labels of each picture of the data set.
        budget: Most boxes of a label; others are not limited.

    Examples:
        >>> within([["cone", "cube"], ["cone"]], {"cone": 1})
        [[True, True], [False]]
    """
    left = Counter(budget)
    found: list[list[bool]] = []
    for of_picture in labels:
        found.append([])
        for label in of_picture:
            found[-1].append(label not in budget or left[label] > 0)
            left[label] -= 1
    return found


def described(chosen: Iterable[tuple[Annotation, Sequence[bool]]], variants: int) -> str:
    """What is painted, in words that all shards of it share, on whatever machine and in whatever folder.

    Args:
        chosen: The pictures, each with which of its boxes are wanted.
        variants: Looks of each object.
    """
    rows = [(one.digest, one.boxes, one.labels, wanted) for one, wanted in chosen]
    digest = hashlib.blake2b(json.dumps(rows, default=str).encode(), digest_size=4).hexdigest()
    boxes = sum(sum(wanted) for *_, wanted in rows)
    return f"{variants} looks each of {boxes} boxes in {len(rows)} pictures ({digest})"


def share(pictures: Sequence[Item], shard: Shard | None) -> list[Item]:
    """What a shard paints of the pictures of a data set: whole blocks, so that its groups are those of a single run."""
    blocks = [pictures[start : start + BLOCK] for start in range(0, len(pictures), BLOCK)]
    return list(itertools.chain.from_iterable(blocks if shard is None else shard.share(blocks)))


def paint_ahead(
    transform: BBoxInpaint,
    samples: Iterable[Sample],
    inpainter: Inpainter | None = None,
    show: Callable[[Outcome], None] = lambda _: None,
    step: Callable[[int], None] = lambda _: None,
) -> Ahead:
    """Paint every look that is missing; called again, it goes on where it stopped, however that was.

    Args:
        transform: With a pool that waits, see ``with_pool``.
        samples: The data set, as the transform will get it.
        inpainter: Who paints; None for the transform's own. One with ``slots`` is given as many groups at once.
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
    painter = editor.inpainter if inpainter is None else inpainter
    size = 2 * ModelSpec.of(editor.arguments["model"]).resolved().max_batch_size
    done = Ahead()
    slots: set[bytes] = set()
    painting: deque[tuple[list[_Look], Future[Any]]] = deque()

    def finish() -> None:
        group, result = painting.popleft()
        _, outcomes = result.result()
        for look, [outcome] in zip(group, outcomes, strict=True):
            if look.there:
                continue
            counts = done.accepted if outcome.accepted else done.rejected
            counts[class_name(look.edit.target, editor.recipe.class_names)] += 1
            if not outcome.accepted:
                done.reasons[str(outcome.reason)] += 1
            show(outcome)
        step(len(group))

    with ThreadPoolExecutor(MAX_AT_ONCE, "painting") as threads:
        try:
            for group in _groups(editor.recipe, samples, pool, size, step, done):
                done.there += sum(look.there for look in group)
                slots.update(bytes.fromhex(look.edit.look.slot) for look in group if look.edit.look is not None)
                if all(look.there for look in group):
                    step(len(group))
                    continue
                while len(painting) >= min(getattr(painter, "slots", 1), MAX_AT_ONCE):
                    finish()
                images, edits = [look.image for look in group], [[look.edit] for look in group]
                arguments = (editor.recipe, images, edits, painter, editor.gate, False, _Unseen(pool))
                painting.append((group, threads.submit(paint_all, *arguments)))
            while painting:
                finish()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    pool.flush()
    with pool.reading() as view:
        done.gone = sum(view.slot(slot) is None for slot in slots)
    return done


@dataclass(frozen=True, eq=False)
class _Look:
    """A look that is painted ahead, and whether it is there already."""

    image: np.ndarray
    edit: Edit
    there: bool


class _Unseen:
    """A pool in which nothing is found: of a group that was broken off all is painted again, as it was before.

    What is kept twice stays as it was kept first.
    """

    wait = True

    def __init__(self, pool: Pool) -> None:
        self.settings = pool.settings
        self.keep = pool.keep
        self.flush = pool.flush
        self.paint_later = pool.paint_later

    def reading(self) -> contextlib.AbstractContextManager[_Unseen]:
        return contextlib.nullcontext(self)

    def find(self, key: bytes) -> Kept | None:
        del key
        return None

    def painted(self, key: bytes, attempt: int) -> InpaintResult | None:
        del key, attempt
        return None


def _groups(
    recipe: Recipe, samples: Iterable[Sample], pool: Pool, size: int, step: Callable[[int], None], done: Ahead
) -> Iterator[list[_Look]]:
    """The looks of a data set, as many at once as are painted together."""
    rest = iter(samples)
    while block := list(itertools.islice(rest, 1)):
        looks = _looks_of(recipe, itertools.chain(block, itertools.islice(rest, BLOCK - 1)), pool, step, done)
        while group := list(itertools.islice(looks, size)):
            yield group


def _looks_of(
    recipe: Recipe, samples: Iterable[Sample], pool: Pool, step: Callable[[int], None], done: Ahead
) -> Iterator[_Look]:
    """The looks of some pictures' boxes that are wanted; counts those that are not."""
    for sample in samples:
        count = 0
        done.boxes += len(sample.boxes)
        done.left_out.update(_left_out(recipe, sample))
        for look in _looks(recipe, sample, pool):
            count += 1
            yield look
        # Boxes that are never drawn, or beyond a budget, are done too.
        step(pool.reuse.variants * len(sample.boxes) - count)


def _left_out(recipe: Recipe, sample: Sample) -> Iterator[str]:
    """Why boxes of a picture have no looks."""
    wanted = [True] * len(sample.boxes) if sample.wanted is None else sample.wanted
    for reason, one in zip(obstacles(recipe, _scene(sample)), wanted, strict=True):
        if reason is not None or not one:
            yield "beyond the budget" if reason is None else reason


def _scene(sample: Sample) -> Scene:
    height, width = sample.image.shape[:2]
    return Scene(height, width, list(sample.boxes), list(sample.labels))


def _looks(recipe: Recipe, sample: Sample, pool: Pool) -> Iterator[_Look]:
    wanted = [True] * len(sample.boxes) if sample.wanted is None else sample.wanted
    if not any(wanted):
        return
    scene = _scene(sample)
    for variant in range(pool.reuse.variants):
        drawer = _Variant(pool.drawer(sample.image), variant)
        edits = plan_each(recipe, scene, random.Random(0), drawer)  # noqa: S311 - draws nothing
        with pool.reading() as view:
            there = [edit.look is not None and view.slot(bytes.fromhex(edit.look.slot)) is not None for edit in edits]
        for edit, known in zip(edits, there, strict=True):
            if edit.index is not None and wanted[edit.index]:
                yield _Look(sample.image, edit, known)


@dataclass
class _Variant:
    """Draws one variant of every object."""

    drawer: Drawer
    variant: int

    def draw(
        self, box: Box, window: Box, label: Label, edit: Callable[[random.Random], Edit], rng: random.Random
    ) -> Edit:
        del rng
        return self.drawer.look(box, window, label, edit, self.variant)

    def region_rng(self, rng: random.Random) -> random.Random:
        return self.drawer.region_rng(rng)
