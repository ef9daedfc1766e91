"""The pictures that are measured with: the user's own, or the embedded one."""

from __future__ import annotations

import dataclasses
import json
import random
import time
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
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import Annotation, BoxFormat, read, read_image
from inpaint_transform.tools import demo

# Reading more would tell nothing new: a picture is read from its file each time it is loaded anyway.
MAX_PICTURES = 256
# An epoch that no measurement reaches the end of.
EPOCH = 10**7


@dataclass(frozen=True)
class Picture:
    """A picture's file and its boxes."""

    file: Path
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]

    def load(self) -> dict[str, Any]:
        """The sample as a data set gives it to a transform."""
        return {"image": read_image(self.file), "bboxes": list(self.boxes), "labels": list(self.labels)}


def embedded() -> list[Picture]:
    """The picture of the demo."""
    file = demo.FOLDER / "demo.png"
    height, width = read_image(file).shape[:2]
    annotations = json.loads((demo.FOLDER / "demo.json").read_text("utf-8"))["annotations"]
    corners = [(x, y, x + w, y + h) for x, y, w, h in (annotation["bbox"] for annotation in annotations)]
    labels = tuple(annotation["category"] for annotation in annotations)
    return [Picture(file, tuple(from_pixels(corners, height, width)), labels)]


def read_own(
    images: Path,
    boxes: Path,
    box_format: BoxFormat,
    names: Mapping[int, str] | None,
    report: Callable[[Problem], None],
) -> list[Picture]:
    """Read the user's pictures, the first ``MAX_PICTURES`` of them.

    Args:
        images: As ``annotations.read`` takes it, and so the next three.
        boxes: Label files.
        box_format: Their format.
        names: Class names.
        report: Hears of pictures that cannot be used.

    Raises:
        FileNotFoundError: ``images`` or ``boxes`` does not exist.
        ValueError: The labels are broken, or no picture has a box that the transform would paint.
    """
    found: list[Picture] = []
    for item in read(images, boxes, box_format, names):
        if isinstance(item, Annotation):
            found.append(Picture(item.image, item.boxes, item.labels))
        else:
            report(item)
        if len(found) == MAX_PICTURES:
            break
    if not any(edits_of(picture) for picture in found):
        raise ValueError(
            f"{boxes}: there is no box to paint in {images}; the transform paints boxes whose shorter side has at "
            f"least {Recipe().min_box_size} pixels"
        )
    return found


def edits_of(picture: Picture, seed: int = 0, recipe: Recipe | None = None) -> list[Edit]:
    """What the transform would paint in a picture; one box, however often and many it paints."""
    height, width = read_image(picture.file).shape[:2]
    rng = random.Random(seed)  # noqa: S311 - pictures, not cryptography
    one = dataclasses.replace(recipe or Recipe(), num_boxes=1, box_p=None)
    return plan(one, Scene(height, width, picture.boxes, picture.labels), rng)


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
    """

    def __init__(self, pictures: Sequence[Picture], transform: A.Compose) -> None:
        self.pictures = list(pictures)
        self.transform = transform

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, float, bool]:
        sample = self.pictures[index % len(self.pictures)].load()
        image = sample["image"]
        start = time.perf_counter()
        result = self.transform(**sample)["image"]
        # Where nothing was painted, the transform gives back the very same array.
        return result, time.perf_counter() - start, result is not image


def collate(samples: Sequence[tuple[np.ndarray, float, bool]]) -> tuple[torch.Tensor, list[float], list[bool]]:
    """A mini-batch: all pixels in one tensor whatever the pictures' sizes, as cheap to send as a stacked batch."""
    images, seconds, painted = zip(*samples, strict=True)
    return (
        torch.cat([torch.from_numpy(np.ascontiguousarray(image)).flatten() for image in images]),
        [*seconds],
        [*painted],
    )
