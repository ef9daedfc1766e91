"""Sample sheets: pictures of what a model paints while it is being trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import places
from inpaint_transform.fit.autoencoder import Pixels, round_trip
from inpaint_transform.fit.denoise import to_images
from inpaint_transform.fit.evaluate import tile
from inpaint_transform.fit.pictures import Sample, read_picture

ROWS = 8
# Beside the box as it is and as its own class.
OTHER_CLASSES = 3


def edit_sheet(
    inpainter: Inpainter, samples: Sequence[Sample], recipe: Recipe, labels: Sequence[str], rows: int = ROWS
) -> np.ndarray:
    """A row a box: as it is, painted as its own class, painted as others; always the same boxes and seeds.

    Args:
        inpainter: Who paints.
        samples: Where the boxes are taken from, every class in turn.
        recipe: How to paint.
        labels: All classes.
        rows: How many boxes, at most.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    rng = random.Random(0)  # noqa: S311 - which boxes, not cryptography
    queues = [rng.sample(found, len(found)) for found in places.paintable(samples, labels).values() if found]
    turns = [queue[turn] for turn in range(rows) for queue in queues if turn < len(queue)][:rows]
    pictures, edits = [], []
    for place in turns:
        picture = read_picture(place.sample.image)
        others = [other for other in labels if other != place.label][:OTHER_CLASSES]
        for target in [place.label, *others]:
            pictures.append(picture)
            edits.append([places.edit_as(target, picture, place, recipe, random.Random(0))])  # noqa: S311
    painted, _ = paint_all(recipe, pictures, edits, inpainter)
    columns = len(pictures) // len(turns)
    shown = []
    for number, place in enumerate(turns):
        first = number * columns
        row = [pictures[first], *painted[first : first + columns]]
        shown.append(np.hstack([tile(picture, place.box) for picture in row]))
    return np.vstack(shown)


def round_trip_sheet(vae: Any, pixels: Pixels) -> np.ndarray:
    """Crops above, and below them what the autoencoder makes of them: ``(H, W, 3)`` uint8."""
    count = min(ROWS, pixels.count)
    with torch.no_grad():
        images = to_images(pixels.batch(np.arange(count))[0])
    return np.vstack([np.hstack(list(images)), np.hstack(list(round_trip(vae, images)))])
