"""The pictures that are measured with: the user's own, or the embedded one."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from torch.utils.data import Dataset

from inpaint_transform.core.boxes import Box, from_pixels
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.jobs import make_request
from inpaint_transform.core.plan import Scene, obstacles, plan
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import Annotation, Source, read_image
from inpaint_transform.datasets.splits import TRAIN
from inpaint_transform.tools import demo

# Reading more would tell nothing new: a picture is read from its file each time it is loaded anyway.
MAX_PICTURES = 256
# Of each picture, to know how many boxes are painted on average.
DRAWS = 4
# An epoch that no measurement reaches the end of.
EPOCH = 10**7


@dataclass(frozen=True)
class Picture:
    """A picture's file and its boxes."""

    file: Path
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    height: int
    width: int

    @property
    def scene(self) -> Scene:
        """The picture as the planner sees it."""
        return Scene(self.height, self.width, self.boxes, self.labels)

    def load(self) -> dict[str, Any]:
        """The sample as a data set gives it to a transform."""
        return {"image": read_image(self.file), "bboxes": list(self.boxes), "labels": list(self.labels)}


@dataclass(frozen=True)
class Data:
    """What is measured with, and what a training with it has to paint.

    Attributes:
        source: What the pictures are, for the report.
        pictures: Those that are measured with.
        total: How many pictures a training has.
        boxes: How many of their boxes the transform may paint. It is counted in ``pictures`` and scaled up where a
            training has more.
        edits: How many boxes of a picture are painted when the transform's ``p`` has decided for it, on average.
        drawn: In which share of the pictures there is one.
    """

    source: str
    pictures: tuple[Picture, ...]
    total: int
    boxes: int
    edits: float
    drawn: float

    @classmethod
    def of(cls, source: str, pictures: Sequence[Picture], recipe: Recipe, total: int | None = None) -> Data:
        """Count what a recipe paints.

        Args:
            source: As the attribute.
            pictures: As the attribute.
            recipe: What is painted and where.
            total: As the attribute; None for as many as there are ``pictures``.

        Raises:
            ValueError: There is no box to paint.
        """
        rng = random.Random(0)  # noqa: S311 - pictures, not cryptography
        counts = [len(plan(recipe, picture.scene, rng)) for picture in pictures for _ in range(DRAWS)]
        paintable = sum(obstacles(recipe, picture.scene).count(None) for picture in pictures)
        if not any(counts):
            raise ValueError(
                f"there is no box to paint in {source}: none has the label and prompt that are asked for and a shorter "
                f"side of at least {recipe.min_box_size} pixels"
            )
        count = len(pictures)
        total = count if total is None else total
        edits, drawn = sum(counts) / len(counts), sum(map(bool, counts)) / len(counts)
        return cls(source, tuple(pictures), total, round(paintable * total / count), edits, drawn)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        names = ("source", "total", "boxes", "edits", "drawn")
        return {**{name: getattr(self, name) for name in names}, "pictures": len(self.pictures)}


def embedded() -> list[Picture]:
    """The picture of the demo."""
    file = demo.FOLDER / "demo.png"
    height, width = read_image(file).shape[:2]
    annotations = json.loads((demo.FOLDER / "demo.json").read_text("utf-8"))["annotations"]
    corners = [(x, y, x + w, y + h) for x, y, w, h in (annotation["bbox"] for annotation in annotations)]
    labels = tuple(annotation["category"] for annotation in annotations)
    return [Picture(file, tuple(from_pixels(corners, height, width)), labels, height, width)]


def read_own(found: Source, report: Callable[[Problem], None]) -> list[Picture]:
    """Read the user's pictures, the first ``MAX_PICTURES`` that a training has.

    Args:
        found: Where pictures, labels and splits are, see ``reading.find``. Pictures of ``val`` and ``test`` are never
            painted, and so they are left out.
        report: Hears of pictures that cannot be used.

    Raises:
        ValueError: The labels are broken, or no picture of the split ``train`` can be used.
    """
    pictures: list[Picture] = []
    for item in found.read(only=(TRAIN,)):
        if not isinstance(item, Annotation):
            report(item)
        else:
            pictures.append(Picture(item.image, item.boxes, item.labels, item.height, item.width))
        if len(pictures) == MAX_PICTURES:
            break
    if not pictures:
        raise ValueError(f"no picture of the split {TRAIN} can be read together with its boxes")
    return pictures


def few(pictures: Sequence[Picture], recipe: Recipe, most: int) -> list[Picture]:
    """The first boxes that a recipe may paint, in their pictures without the others."""
    kept: list[Picture] = []
    for picture in pictures:
        wanted = [at for at, why in enumerate(obstacles(recipe, picture.scene)) if why is None][:most]
        most -= len(wanted)
        if wanted:
            boxes, labels = tuple(picture.boxes[at] for at in wanted), tuple(picture.labels[at] for at in wanted)
            kept.append(dataclasses.replace(picture, boxes=boxes, labels=labels))
        if not most:
            break
    return kept


def edits_of(picture: Picture, seed: int = 0, recipe: Recipe | None = None) -> list[Edit]:
    """What the transform would paint in a picture; one box, however often and many it paints."""
    rng = random.Random(seed)  # noqa: S311 - pictures, not cryptography
    return plan(dataclasses.replace(recipe or Recipe(), num_boxes=1, box_p=None), picture.scene, rng)


def requests_of(
    pictures: Sequence[Picture], size: int, count: int, recipe: Recipe | None = None
) -> list[InpaintRequest]:
    """Working crops as the transform asks for them.

    Raises:
        ValueError: No picture has a box that the recipe paints.
    """
    recipe = recipe or Recipe()
    requests: list[InpaintRequest] = []
    while len(requests) < count:
        if not pictures:
            raise ValueError("there is no box to paint: none has the size, label and prompt that are asked for")
        picture = pictures[len(requests) % len(pictures)]
        image, before = read_image(picture.file), len(requests)
        for edit in edits_of(picture, before, recipe):
            x0, y0, x1, y1 = edit.window
            mask = edit.mask(recipe.shape)
            requests.append(make_request(recipe, edit, image[y0:y1, x0:x1], mask, edit.seed, size, None))
        if len(requests) == before:
            pictures = [other for other in pictures if other is not picture]
    return requests[:count]


class Timed(Dataset[tuple[np.ndarray, float, bool]]):
    """Loads pictures, transforms them, and says how long the transform took and whether it painted.

    Args:
        pictures: The pictures, taken in turn.
        transform: A Compose that takes boxes and ``labels``.
        counts: Gives what the transform has counted in this process, such as ``Tally.counts``.
    """

    def __init__(
        self, pictures: Sequence[Picture], transform: A.Compose, counts: Callable[[], Mapping[str, int]]
    ) -> None:
        self.pictures = list(pictures)
        self.transform = transform
        self._counts = counts
        self._before: Counter[str] = Counter()

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, float, bool]:
        sample = self.pictures[index % len(self.pictures)].load()
        image = sample["image"]
        start = time.perf_counter()
        result = self.transform(**sample)["image"]
        # Where nothing was painted, the transform gives back the very same array.
        return result, time.perf_counter() - start, result is not image

    def collate(
        self, samples: Sequence[tuple[np.ndarray, float, bool]]
    ) -> tuple[torch.Tensor, list[float], list[bool], Counter[str]]:
        """A mini-batch: all pixels in one tensor whatever the pictures' sizes, as cheap to send as a stacked batch.

        What the transform has counted for it is the last of its parts; a worker loads one mini-batch after the other.
        """
        images, seconds, painted = zip(*samples, strict=True)
        return (
            torch.cat([torch.from_numpy(np.ascontiguousarray(image)).flatten() for image in images]),
            [*seconds],
            [*painted],
            self.counted(),
        )

    def counted(self) -> Counter[str]:
        """What the transform has counted in this process since the last call."""
        counts = Counter(self._counts())
        self._before, before = counts, self._before
        return counts - before
