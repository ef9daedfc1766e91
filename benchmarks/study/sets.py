"""The sets of the study: which pictures are drawn for training, which choose the baseline, which are the test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.tiny import data
from inpaint_transform.fit.pictures import Sample, read_picture

# A draw has at least so many boxes of every class, or it is drawn again.
MIN_BOXES = 3
MAX_TRIES = 1000


@dataclass(frozen=True)
class Source:
    """How a data set is cut into three parts.

    Attributes:
        height: Of a picture as the detector sees it, in pixels; a multiple of 32.
        width: Likewise.
        test: Splits of ``coco.json`` that are the test.
        dropped: Pictures that nobody sees, by file name.
        validation: Whether a training picture belongs to the part that chooses the baseline, by its name and its
            position among the sorted names.
    """

    height: int
    width: int
    test: tuple[str, ...]
    dropped: frozenset[str]
    validation: Callable[[str, int], bool]


SOURCES: Mapping[str, Source] = {
    # Its validation picture 37 is a near-duplicate of training picture 38.
    "bccd": Source(192, 256, ("val", "test"), frozenset({"BloodImage_00037.jpg"}), lambda _, number: number % 5 == 0),
    # Frames of one video look alike: test and validation are videos of their own.
    "cones_cubes": Source(256, 256, ("val",), frozenset(), lambda name, _: name.startswith("17_28_56")),
    # See ``quick``.
    "drawn": Source(96, 128, ("val", "test"), frozenset(), lambda _, number: number % 4 == 0),
}


@dataclass(frozen=True)
class StudySet:
    """A data set in its three parts.

    Attributes:
        name: Of the set.
        root: Its folder.
        labels: The class names, sorted.
        height: Of a picture as the detector sees it, in pixels.
        width: Likewise.
        pool: Pictures that draws are taken from.
        validation: Pictures that choose the best free baseline; neither trained on nor tested.
        test: Pictures that say how good a detector is, and nothing else.
    """

    name: str
    root: Path
    labels: tuple[str, ...]
    height: int
    width: int
    pool: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def draw(self, count: int, number: int, extra: int = 0) -> list[Sample]:
        """The pictures of a draw: a draw with more pictures, or with ``extra`` ones, holds those of the smaller.

        Args:
            count: How many; 0 for all.
            number: Of the draw, from 0.
            extra: So many more at the end, which nobody else sees: the oracle's.

        Raises:
            ValueError: There are not so many, or no draw has all classes.
        """
        wanted = (count or len(self.pool)) + extra
        if wanted > len(self.pool):
            raise ValueError(f"count={count}, extra={extra}: {self.name} has {len(self.pool)} pictures to draw from")
        for attempt in range(MAX_TRIES):
            order = np.random.default_rng((number, attempt)).permutation(len(self.pool))
            drawn = [self.pool[row] for row in order[:wanted]]
            boxes = Counter(label for sample in drawn[: count or len(self.pool)] for label in sample.labels)
            if all(boxes[label] >= MIN_BOXES for label in self.labels):
                return drawn
        raise ValueError(f"count={count}: no draw of {self.name} has {MIN_BOXES} boxes of each of {self.labels}")


def load(root: Path) -> StudySet:
    """Read a data set's folder; nothing is decoded.

    Raises:
        ValueError: The study does not know the set.
    """
    name = root.name
    if name not in SOURCES:
        raise ValueError(f"{root}: the study knows the sets {', '.join(SOURCES)}; give a folder of that name")
    source = SOURCES[name]
    test = [sample for sample in data.samples([root], source.test) if sample.image.name not in source.dropped]
    train = sorted(data.samples([root], ["train"]), key=lambda sample: sample.image.name)
    chosen = [source.validation(sample.image.name, number) for number, sample in enumerate(train)]
    return StudySet(
        name,
        root,
        tuple(sorted({label for sample in train for label in sample.labels})),
        source.height,
        source.width,
        tuple(sample for sample, kept in zip(train, chosen, strict=True) if not kept),
        tuple(sample for sample, kept in zip(train, chosen, strict=True) if kept),
        tuple(test),
    )


def truth(root: Path, samples: Sequence[Sample]) -> dict[str, Any]:
    """What ``coco.json`` says of some pictures, in COCO's own form; categories are numbered as in the file."""
    whole = json.loads((root / "coco.json").read_text("utf-8"))
    names = {sample.image.name for sample in samples}
    images = [image for image in whole["images"] if image["file_name"] in names]
    known = {image["id"] for image in images}
    return {
        "info": {},
        "images": images,
        "annotations": [row for row in whole["annotations"] if row["image_id"] in known],
        "categories": whole["categories"],
    }


def shrink(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture as the detector sees it: ``(height, width, 3)`` uint8."""
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def shrunk_boxes(sample: Sample, shape: Sequence[int], height: int, width: int) -> np.ndarray:
    """The boxes of a picture of ``shape`` where the detector sees them: ``(N, 4)`` float64 corners."""
    return np.array(sample.boxes, float).reshape(-1, 4) * np.tile([width / shape[1], height / shape[0]], 2)


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as the detector sees it.

    Attributes:
        pixels: ``(height, width, 3)`` uint8.
        boxes: ``(N, 4)`` float64 corners.
        classes: ``(N,)`` int, positions of their classes.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


def see(found: StudySet, samples: Sequence[Sample]) -> list[Seen]:
    """Pictures as the detector sees them."""
    seen = []
    for sample in samples:
        picture = read_picture(sample.image)
        seen.append(
            Seen(
                shrink(picture, found.height, found.width),
                shrunk_boxes(sample, picture.shape, found.height, found.width),
                np.array([found.labels.index(label) for label in sample.labels], int),
            )
        )
    return seen
