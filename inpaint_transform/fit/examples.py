"""Training crops: a box is the hole to paint, its surroundings are given, and its class says what belongs there."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from inpaint_transform.core import crops, masks
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.fit.cutouts import Cutout, cut_out
from inpaint_transform.fit.pictures import Sample, read_picture
from inpaint_transform.fit.surroundings import recoloured, shaded

# Window side over longer box side: around the transform's default of 2.
CONTEXT = (1.25, 2.5)
# What the hole is. The box is what the transform paints by default, so it comes most often. A part of an object often
# fills its hole to the edges, or leaves it empty, as a whole object in its box never does: so it comes rarely.
HOLES = {"box": 0.8, "shape": 0.1, "part": 0.02, "background": 0.08}
# Of the box's sides: how small a part may be.
MIN_PART = 0.4
# How bright a crop is made: rather darker, for what is white already tells no more.
LIGHT = (0.6, 1.25)
# By how much one side of a crop may be stretched against the other, and how often one is: a set that was taken from few
# places shows its objects from few sides.
STRETCH = (1.0, 1.25)
STRETCHED = 0.5
# Colours and contrast of light.
TINT = (0.9, 1.1)
CONTRAST = (0.85, 1.15)
# How often an object is put where it was not photographed, with colours that nobody photographed, and with a shadow. A
# set from few places is learnt by heart with them: on other floors a model paints a mixture of all it knows.
PASTED = 0.8
RECOLOURED = 0.6
SHADED = 0.5
# Of so many of its class the first that can be cut out. Not more of them: where few can be, they are not like the rest.
CANDIDATES = 4
# By how many degrees it is tilted at most: between the few positions that were photographed a model guesses otherwise.
TILT = 20.0
# How much of a background box may lie on objects, and of what is cut out on others; how often the first is looked for.
MAX_COVERED = 0.15
MAX_TRIES = 20


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        image: ``(size, size, 3)`` uint8, RGB, the working crop.
        hole: ``(size, size)`` bool, what is to be painted, made of whole latent cells.
        label: The class in the hole; None for background.
    """

    image: np.ndarray
    hole: np.ndarray
    label: str | None


class _Draw(NamedTuple):
    """An example to be made: which picture and box, its own number, and whether to show the object elsewhere."""

    picture: int
    box: int
    number: int
    elsewhere: bool
    rng: np.random.Generator


class Crops:
    """Draws training examples from labelled pictures, every class as often as its share says.

    Args:
        samples: The pictures.
        size: Side of the working crop in pixels.
        cell: Pixels a latent cell, a divisor of ``size``.
        turnable: Classes without an upright position, which are turned by quarters.
        shares: How often a class is drawn against the others; 1 where it is not named.
        pasted: Whether objects are shown at other places too.

    Raises:
        ValueError: No box is large enough to learn from.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: int,
        cell: int,
        turnable: Collection[str] = (),
        shares: Mapping[str, float] | None = None,
        pasted: bool = False,
    ) -> None:
        self.samples, self.size, self.cell = samples, size, cell
        self._pasted = pasted
        # Which boxes' objects can be cut out, as far as they have been tried.
        self._tried: dict[tuple[int, int], bool] = {}
        self._turnable = frozenset(turnable)
        self._by_label: dict[str, list[tuple[int, int]]] = {}
        for number, sample in enumerate(samples):
            for index in sample.usable():
                self._by_label.setdefault(sample.labels[index], []).append((number, index))
        if not self._by_label:
            raise ValueError(f"none of {len(samples)} pictures has a box that is large enough to learn from")
        self.labels = sorted(self._by_label)
        weights = np.array([(shares or {}).get(label, 1.0) for label in self.labels])
        self._weights = weights / weights.sum()

    def draw(self, count: int, seed: int, progress: bool = False) -> Iterator[tuple[int, Example]]:
        """Draw examples, each with its number; a picture is read once for all that are cut from it.

        Args:
            count: How many.
            seed: The same seed gives the same examples, each of which depends on its number only.
            progress: Whether to show a progress bar while it is found out which objects can be cut out.
        """
        plan = self._plan(count, seed, progress)
        for position, by_picture in itertools.groupby(plan, lambda draw: draw.picture):
            sample = self.samples[position]
            picture = read_picture(sample.image)
            for index, by_object in itertools.groupby(by_picture, lambda draw: draw.box):
                draws = list(by_object)
                cutout = _cut_out(sample, index, picture) if any(draw.elsewhere for draw in draws) else None
                for draw in draws:
                    shown = (sample, index, picture)
                    if draw.elsewhere and cutout is not None:
                        shown = self._moved(sample.labels[index], cutout, draw.rng) or shown
                    yield draw.number, self._example(*shown, draw.rng)

    def _plan(self, count: int, seed: int, progress: bool) -> list[_Draw]:
        """What is drawn, in order of the pictures."""
        drawn = []
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            boxes = self._by_label[self.labels[rng.choice(len(self.labels), p=self._weights)]]
            candidates = [boxes[rng.integers(len(boxes))]]
            # A stream of its own: what cannot be cut out is shown as if nobody had tried.
            tries = rng.spawn(1)[0]
            elsewhere = self._pasted and tries.random() < PASTED
            if elsewhere:
                candidates += [boxes[tries.integers(len(boxes))] for _ in range(CANDIDATES - 1)]
            drawn.append((candidates, number, elsewhere, rng))
        self._try({box for candidates, _, elsewhere, _ in drawn if elsewhere for box in candidates}, progress)
        plan = []
        for candidates, number, elsewhere, rng in drawn:
            box = next((box for box in candidates if self._tried.get(box)), candidates[0])
            plan.append(_Draw(*box, number, elsewhere and self._tried[box], rng))
        return sorted(plan, key=lambda draw: draw[:3])

    def _try(self, boxes: set[tuple[int, int]], progress: bool) -> None:
        """Find out which boxes' objects can be cut out; each is tried once."""
        new = sorted(boxes - self._tried.keys())
        hidden = None if progress and new else True
        with tqdm(None, "cutting out", len(new), leave=False, unit="object", disable=hidden) as bar:
            for position, by_picture in itertools.groupby(new, lambda box: box[0]):
                sample = self.samples[position]
                picture = read_picture(sample.image)
                for box in by_picture:
                    self._tried[box] = _cut_out(sample, box[1], picture) is not None
                    bar.update()

    def _moved(self, label: str, cutout: Cutout, rng: np.random.Generator) -> tuple[Sample, int, np.ndarray] | None:
        """An object as it would stand in some other picture; None where it has no room there."""
        cutout = cutout.tilted(rng.uniform(-TILT, TILT))
        # Where others of its class are: a cell belongs on a smear, and a cone on a floor.
        rows = self._by_label[label]
        other = self.samples[rows[rng.integers(len(rows))][0]]
        floor = read_picture(other.image)
        height, width = floor.shape[:2]
        place = background_box(other, cutout.size, height, width, rng)
        if place is None:
            return None
        # No larger than any window of it, stretched or not, can reach.
        area = crops.context_window(place, height, width, 2 * CONTEXT[1])
        floor = floor[area[1] : area[3], area[0] : area[2]]
        place = _within(place, area)
        if rng.random() < RECOLOURED:
            floor = recoloured(floor, rng)
        floor = shaded(floor, place, rng) if rng.random() < SHADED else floor.copy()
        cutout.paste(floor, place)
        outline = cutout.outline
        if outline is not None:
            outline = tuple((x + place[0], y + place[1]) for x, y in outline)
        others = tuple(_within(one, area) for one in (*other.boxes, *other.others) if masks.free_share(one, [area]) < 1)
        return Sample(other.image, (place,), (label,), (outline,), others), 0, floor

    def _example(self, sample: Sample, index: int, picture: np.ndarray, rng: np.random.Generator) -> Example:
        kind = rng.choice(list(HOLES), p=list(HOLES.values()))
        if kind != "background" and rng.random() < STRETCHED:
            sample, picture = _stretched(sample, index, picture, rng)
        height, width = picture.shape[:2]
        label: str | None = sample.labels[index]
        box = sample.boxes[index]
        if kind == "background" and (empty := background_box(sample, sides(box), height, width, rng)) is not None:
            box, label = empty, None
        window = crops.context_window(box, height, width, rng.uniform(*CONTEXT))
        whole = masks.shape_mask(box, window, "box")
        inside = whole if label is None else self._hole(sample, index, window, kind, rng)
        image = crops.crop(picture, window, self.size)
        hole = crops.align_mask(crops.crop_mask(inside, self.size), self.cell)
        return Example(*_augmented(image, hole, sample.labels[index] in self._turnable, rng), label)

    @staticmethod
    def _hole(sample: Sample, index: int, window: Box, kind: str, rng: np.random.Generator) -> np.ndarray:
        box = sample.boxes[index]
        outline = sample.outlines[index] if sample.outlines else None
        if kind == "shape" and outline is not None:
            hole = masks.outline_mask(outline, window, "box")
        elif kind == "part":
            hole = masks.shape_mask(_part(box, rng), window, "box")
        else:
            hole = masks.shape_mask(box, window, "ellipse" if kind == "shape" else "box")
        # As the transform paints: neighbours keep their pixels where they leave enough of the box.
        if kept := sample.neighbours(index):
            free = hole.copy()
            masks.clear(free, window, kept)
            hole = free if free.any() else hole
        return hole if hole.any() else masks.shape_mask(box, window, "box")


def _cut_out(sample: Sample, index: int, picture: np.ndarray) -> Cutout | None:
    """An object that no other one covers, without its floor; None where there is none to be had."""
    box, *others = sample.boxes[index], *sample.boxes[:index], *sample.boxes[index + 1 :], *sample.others
    if masks.free_share(box, others) < 1 - MAX_COVERED:
        return None
    return cut_out(picture, box, sample.outlines[index] if sample.outlines else None)


def background_box(
    sample: Sample, size: tuple[int, int], height: int, width: int, rng: np.random.Generator
) -> Box | None:
    """Draw a box of some size that lies on no object of a picture; None where none is found.

    Args:
        sample: Whose boxes to keep clear of.
        size: Its width and height in pixels.
        height: Of the picture.
        width: Of the picture.
        rng: Source of the draws.
    """
    if size[0] > width or size[1] > height:
        return None
    for _ in range(MAX_TRIES):
        x0, y0 = int(rng.integers(width - size[0] + 1)), int(rng.integers(height - size[1] + 1))
        box = (x0, y0, x0 + size[0], y0 + size[1])
        if masks.free_share(box, (*sample.boxes, *sample.others)) >= 1 - MAX_COVERED:
            return box
    return None


def _within(box: Box, area: Box) -> Box:
    """A box in the coordinates of an area."""
    return box[0] - area[0], box[1] - area[1], box[2] - area[0], box[3] - area[1]


def _stretched(sample: Sample, index: int, picture: np.ndarray, rng: np.random.Generator) -> tuple[Sample, np.ndarray]:
    """A box with what any window of it can reach, wider or higher than it was."""
    area = crops.context_window(sample.boxes[index], picture.shape[0], picture.shape[1], 2 * CONTEXT[1])
    width, height = sides(area)
    factor = rng.uniform(*STRETCH)
    wide = rng.random() < 0.5
    new = (round(width * factor), height) if wide else (width, round(height * factor))
    scale = np.array(new) / (width, height)
    cut = cv2.resize(picture[area[1] : area[3], area[0] : area[2]], new, interpolation=cv2.INTER_CUBIC)

    def move(points: Any) -> np.ndarray:
        moved: np.ndarray = (np.reshape(points, (-1, 2)) - area[:2]) * scale
        return moved

    def moved_boxes(boxes: Sequence[Box]) -> tuple[Any, ...]:
        return tuple(tuple(np.rint(move(box)).astype(int).ravel().tolist()) for box in boxes)

    outlines = tuple(one if one is None else tuple(map(tuple, move(one).tolist())) for one in sample.outlines)
    boxes, others = moved_boxes(sample.boxes), moved_boxes(sample.others)
    return replace(sample, boxes=boxes, outlines=outlines, others=others), cut


def _part(box: Box, rng: np.random.Generator) -> Box:
    width, height = sides(box)
    part_width, part_height = (max(1, round(side * rng.uniform(MIN_PART, 1))) for side in (width, height))
    x0 = box[0] + int(rng.integers(width - part_width + 1))
    y0 = box[1] + int(rng.integers(height - part_height + 1))
    return x0, y0, x0 + part_width, y0 + part_height


def _augmented(
    image: np.ndarray, hole: np.ndarray, turnable: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mirrored, turned where that is possible, and in another light."""
    if rng.random() < 0.5:
        image, hole = image[:, ::-1], hole[:, ::-1]
    if turnable:
        turns = int(rng.integers(4))
        image, hole = np.rot90(image, turns), np.rot90(hole, turns)
    gain = np.exp(rng.uniform(*np.log(LIGHT))) * rng.uniform(*TINT, 3)
    contrasted = image.mean() + (image - image.mean()) * rng.uniform(*CONTRAST)
    lit = np.clip(contrasted * gain + rng.uniform(-12, 12), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(lit), np.ascontiguousarray(hole)
