"""Evaluation: how good is what a model paints, judged by readers that have seen real pictures only.

Held-out boxes are painted as what they are and as another class of about their size, so half of the edits are swaps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from inpaint_transform.core import crops
from inpaint_transform.core.boxes import Box, relative
from inpaint_transform.core.paint import paint, paint_all
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import class_sizes
from inpaint_transform.fit import classifiers, finder, heatmap, places, sharpness
from inpaint_transform.fit.pictures import MIN_SIDE, Sample, read_picture
from inpaint_transform.fit.places import Place, Row

# Fewer say too little: of two read-backs in the literature the one on 72 edits passed and the one on 360 failed.
EDITS = 360
# Of a class, and pictures for the detector: more training boxes take longer and say the same.
MAX_TRAIN_BOXES = 400
MAX_TRAIN_PICTURES = 600
# Boxes of a class that are painted with several seeds, and seeds.
DIVERSE_BOXES, DIVERSE_SEEDS = 6, 4
# Edits that are painted in one call.
AT_ONCE = 16
# Edits that are kept to be shown, of boxes of a class as they are and of others painted as that class, each.
SHOWN = 4
NEAREST_SIZE = 16

RoundTrip = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Shown:
    """One edit to look at.

    Attributes:
        label: The class of the box.
        target: What was painted.
        before: ``(h, w, 3)`` uint8, the box and its surroundings.
        after: The same with the painted pixels.
        nearest: The training box that the painted one is most like, at its own size.
    """

    label: str
    target: str
    before: np.ndarray
    after: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured, as JSON values, and some edits to look at."""

    numbers: dict[str, Any]
    shown: list[Shown]


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of pictures, by class: what is cut out, and how large it was."""

    pictures: dict[str, list[np.ndarray]]

    def at(self, label: str, size: int) -> list[np.ndarray]:
        return [
            cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in self.pictures.get(label, [])
        ]


def evaluate(
    inpainter: Inpainter,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    edits: int = EDITS,
    seed: int = 0,
    round_trip: RoundTrip | None = None,
    show: int = SHOWN,
    progress: bool = False,
) -> Evaluation:
    """Paint held-out boxes and measure.

    Args:
        inpainter: Who paints.
        train: Pictures that the model, the readers and the detector have learnt from.
        held_out: Pictures that none of them has seen.
        recipe: How to paint; its prompts say what each class is called.
        edits: How many boxes are painted, at least; a multiple of the pairs of classes.
        seed: Decides on every draw.
        round_trip: The model's autoencoder on ``(B, S, S, 3)`` uint8 crops, to measure what it alone costs.
        show: Of how many boxes of each class, and of how many others that are painted as it, the edit is kept.
        progress: Whether to show progress bars on a terminal.

    Returns:
        The numbers, see ``fit/README.md``, and some edits of each class.

    Raises:
        ValueError: The held-out pictures have no box that is large enough.
    """
    labels = sorted({sample.labels[index] for sample in train for index in sample.usable()})
    known_places, held = places.by_label(train, labels), places.paintable(held_out, labels)
    if not any(held.values()):
        raise ValueError(
            f"held_out: none of {len(held_out)} pictures has a box of {MIN_SIDE} pixels of a trained class"
        )
    known = _patches(known_places, seed)
    strict, lenient = (classifiers.train_reader(known, labels, seed, blurred=blurred) for blurred in (False, True))
    detector = finder.train_detector(_some(train, MAX_TRAIN_PICTURES, seed), labels, seed)

    real = _Boxes({label: [_cut(picture, place.box) for picture, place in _opened(held[label])] for label in labels})
    sizes = class_sizes((place.label, place.box) for label in labels for place in known_places[label])
    rows = places.rows(held, edits, seed, sizes)
    painted = _Boxes({label: [] for label in labels})
    wanted, standing, found = [], [], []
    shown: list[Shown] = []
    rng = random.Random(seed)  # noqa: S311 - which seeds, not cryptography
    rejected = 0
    hidden = None if progress else True
    edited_rows = _painted(inpainter, rows, recipe, rng)
    for (place, target), picture, edited, accepted in tqdm(
        edited_rows, "painting held-out boxes", len(rows), unit="box", disable=hidden
    ):
        box, label = place.box, place.label
        rejected += not accepted
        painted.pictures[target].append(_cut(edited, box))
        wanted.append(labels.index(target))
        standing.append(labels.index(label))
        found.append(finder.finds(detector, edited, box, labels.index(target)))
        kind = (target, label == target)
        if sum((other.target, other.label == other.target) == kind for other in shown) < show:
            shown.append(_shown(picture, edited, box, label, target, known[target]))
    truth, before = np.array(wanted), np.array(standing)
    swapped = truth != before
    crops_in_order = _in_order(painted, [labels[number] for number in wanted])
    unseen = [(labels.index(label), picture) for label in labels for picture in real.at(label, classifiers.READER_SIZE)]
    numbers: dict[str, Any] = {
        "classes": labels,
        "boxes": sum(map(len, held.values())),
        "edits": len(rows),
        "swaps": int(swapped.sum()),
        "rejected": rejected,
    }
    for name, reader in (("read_back_with_blur", lenient), ("read_back_without_blur", strict)):
        got = classifiers.read(reader, crops_in_order)
        on_real = classifiers.read(reader, [picture for _, picture in unseen])
        # Who knows one class only recognises it in anything.
        some = len(labels) > 1
        of_painted = classifiers.recalls(truth, got) if some else {}
        of_swaps = classifiers.recalls(truth[swapped], got[swapped]) if some else {}
        of_real = classifiers.recalls(np.array([number for number, _ in unseen]), on_real) if some else {}
        numbers[name] = {
            "balanced_accuracy": _mean(of_painted.values()),
            "swaps_only": _mean(of_swaps.values()),
            "by_class": _named(of_painted, labels),
            "real_unseen_boxes": _mean(of_real.values()),
            "real_by_class": _named(of_real, labels),
        }
    numbers["detector"] = {
        "painted_found": _mean(found),
        "by_class": _named(classifiers.recalls(truth, np.where(found, truth, -1)), labels),
        "real_found": _real_found(detector, held, labels, seed),
    }
    numbers |= _told_apart(real, painted, labels, seed)
    numbers["sharpness"] = sharpness.ratios(real.pictures, painted.pictures, labels)
    # What is lost on the way to the working crop and back, nothing that is painted there can have.
    resampled = _round_trips(held, recipe.context, inpainter.size, lambda images: images, labels, True)
    numbers["sharpness_over_resampled"] = sharpness.ratios(resampled.pictures, painted.pictures, labels)
    numbers["resampling_alone"] = _without_denoiser(real, resampled, labels, seed)
    if round_trip is not None:
        trips = _round_trips(held, recipe.context, inpainter.size, round_trip, labels, hidden)
        numbers["autoencoder_alone"] = _without_denoiser(real, trips, labels, seed)
    numbers["diversity"] = _diversity(inpainter, held, real, recipe, labels, seed)
    numbers["nearest"] = _nearest(known, real, painted, labels)
    return Evaluation(numbers, shown)


def _some(items: Sequence[Any], count: int, seed: int) -> list[Any]:
    return random.Random(seed).sample(list(items), min(count, len(items)))  # noqa: S311


def _opened(boxes: Sequence[Place]) -> Iterator[tuple[np.ndarray, Place]]:
    """The pictures of some boxes, one in memory at a time, and read once for boxes that follow each other."""
    opened: dict[object, np.ndarray] = {}
    for place in boxes[:MAX_TRAIN_BOXES]:
        if place.sample.image not in opened:
            opened = {place.sample.image: read_picture(place.sample.image)}
        yield opened[place.sample.image], place


def _patches(known: dict[str, list[Place]], seed: int) -> dict[str, list[tuple[np.ndarray, Box]]]:
    return {
        label: [
            classifiers.patch(read_picture(place.sample.image), place.box)
            for place in _some(found, MAX_TRAIN_BOXES, seed)
        ]
        for label, found in known.items()
    }


def _painted(
    inpainter: Inpainter, rows: Sequence[Row], recipe: Recipe, rng: random.Random
) -> Iterator[tuple[Row, np.ndarray, np.ndarray, bool]]:
    """Each row with its picture before and after, and whether the edit was accepted."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        pictures = [read_picture(place.sample.image) for place, _ in some]
        edits = [
            [places.edit_as(target, picture, place, recipe, rng)]
            for picture, (place, target) in zip(pictures, some, strict=True)
        ]
        edited, outcomes = paint_all(recipe, pictures, edits, inpainter)
        for row, picture, after, outcome in zip(some, pictures, edited, outcomes, strict=True):
            yield row, picture, after, any(one.accepted for one in outcome)


def _cut(picture: np.ndarray, box: Box) -> np.ndarray:
    return picture[box[1] : box[3], box[0] : box[2]].copy()


def _in_order(painted: _Boxes, targets: Sequence[str]) -> list[np.ndarray]:
    scaled = {label: iter(painted.at(label, classifiers.READER_SIZE)) for label in painted.pictures}
    return [next(scaled[target]) for target in targets]


def tile(picture: np.ndarray, box: Box, size: int = 156, context: float = 2.0) -> np.ndarray:
    """The surroundings of a box, ``(size, size, 3)`` uint8, to be looked at."""
    return crops.crop(picture, crops.context_window(box, picture.shape[0], picture.shape[1], context), size)


def _shown(
    picture: np.ndarray,
    edited: np.ndarray,
    box: Box,
    label: str,
    target: str,
    known: Sequence[tuple[np.ndarray, Box]],
) -> Shown:
    wanted = _signature(_cut(edited, box))
    distances = [np.abs(_signature(_cut(image, inner)) - wanted).mean() for image, inner in known]
    image, inner = known[int(np.argmin(distances))]
    return Shown(label, target, tile(picture, box), tile(edited, box), _cut(image, inner))


def _signature(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (NEAREST_SIZE, NEAREST_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _real_found(
    detector: heatmap.Detector, held: dict[str, list[Place]], labels: Sequence[str], seed: int
) -> float | None:
    found = [
        finder.finds(detector, read_picture(place.sample.image), place.box, number)
        for number, label in enumerate(labels)
        for place in _some(held[label], MAX_TRAIN_BOXES // 4, seed)
    ]
    return _mean(found)


def _told_apart(real: _Boxes, painted: _Boxes, labels: Sequence[str], seed: int) -> dict[str, float | None]:
    """See ``classifiers.real_or_painted``; of each class as many boxes of either kind.

    Twice: as fine as the classifier sees, and so small that shapes and colours are left and no texture.
    """
    found: dict[str, float | None] = {}
    for name, size in (
        ("real_or_painted", classifiers.CRITIC_SIZE),
        ("real_or_painted_coarse", classifiers.READER_SIZE),
    ):
        pairs: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for label in labels:
            both = [boxes.at(label, size) for boxes in (real, painted)]
            count = min(map(len, both))
            for kind, pictures in zip(pairs, both, strict=True):
                kind += _some(pictures, count, seed)
        found[name] = round(classifiers.real_or_painted(*pairs, seed), 4) if len(pairs[0]) >= 2 else None
    return found


def _without_denoiser(real: _Boxes, trips: _Boxes, labels: Sequence[str], seed: int) -> dict[str, Any]:
    return {
        **_told_apart(real, trips, labels, seed),
        "sharpness": sharpness.ratios(real.pictures, trips.pictures, labels),
    }


def _round_trips(
    held: dict[str, list[Place]],
    context: float,
    size: int,
    round_trip: RoundTrip,
    labels: Sequence[str],
    hidden: bool | None,
) -> _Boxes:
    found = _Boxes({label: [] for label in labels})
    for label in labels:
        for picture, place in tqdm(_opened(held[label]), f"round trips of {label}", unit="box", disable=hidden):
            window = crops.context_window(place.box, picture.shape[0], picture.shape[1], context)
            [back] = round_trip(crops.crop(picture, window, size)[None])
            whole = crops.uncrop(back, window)
            found.pictures[label].append(_cut(whole, relative(place.box, window)))
    return found


def _diversity(
    inpainter: Inpainter,
    held: dict[str, list[Place]],
    real: _Boxes,
    recipe: Recipe,
    labels: Sequence[str],
    seed: int,
) -> dict[str, float | None]:
    """Of each class, how much the seeds differ in one box, over how much real objects differ."""
    found: dict[str, float | None] = {}
    for label in labels:
        between = [np.abs(a - b).mean() for a, b in pairwise(_signature(one) for one in real.pictures[label])]
        differences = []
        for picture, place in _opened(_some(held[label], DIVERSE_BOXES, seed)):
            variants = []
            for number in range(DIVERSE_SEEDS):
                rng = random.Random(f"{seed}-{number}")  # noqa: S311
                edit = places.edit_as(label, picture, place, recipe, rng)
                variants.append(_signature(_cut(paint(recipe, picture, [edit], inpainter)[0], place.box)))
            differences += [np.abs(a - b).mean() for a, b in pairwise(variants)]
        usable = differences and between and np.mean(between) > 0
        found[label] = round(float(np.mean(differences) / np.mean(between)), 3) if usable else None
    return found


def _nearest(
    known: dict[str, list[tuple[np.ndarray, Box]]], real: _Boxes, painted: _Boxes, labels: Sequence[str]
) -> dict[str, float | None]:
    """Of each class, how far painted boxes are from the nearest training box, over how far unseen real ones are.

    Far below 1, the model remembers its training pictures rather than painting new objects.
    """
    found: dict[str, float | None] = {}
    for label in labels:
        trained = np.stack([_signature(_cut(image, box)) for image, box in known[label]])
        trained = np.concatenate([trained, trained[:, :, ::-1]])
        medians = []
        for boxes in (painted, real):
            distances = [np.abs(trained - _signature(one)).mean(axis=(1, 2, 3)).min() for one in boxes.pictures[label]]
            medians.append(float(np.median(distances)) if distances else 0.0)
        found[label] = round(medians[0] / medians[1], 3) if medians[0] and medians[1] else None
    return found


def _named(recalls: dict[int, float], labels: Sequence[str]) -> dict[str, float]:
    return {labels[number]: round(recall, 4) for number, recall in recalls.items()}


def _mean(values: Any) -> float | None:
    listed = [float(value) for value in values]
    return round(float(np.mean(listed)), 4) if listed else None
