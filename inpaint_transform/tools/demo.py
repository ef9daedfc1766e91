"""The demo: repaint some boxes of the bundled picture."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inpaint_transform import tiny
from inpaint_transform.core.boxes import from_pixels
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.reading import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from inpaint_transform.core.protocol import Inpainter

FOLDER = Path(tiny.__file__).parent
BOXES = 6
RECIPE = Recipe(context=1.6)


@dataclass(frozen=True)
class Demo:
    """A picture and what to paint into it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB.
        edits: What to paint, in the order of the picture's boxes. No two boxes overlap.
    """

    image: np.ndarray
    edits: list[Edit]


def load(seed: int, folder: Path = FOLDER) -> Demo:
    """Read the bundled picture and plan its edits.

    Args:
        seed: Decides the noise, and which boxes are painted beside those that become something else.
        folder: Where ``demo.png`` and ``demo.json`` are. The latter holds ``annotations`` with ``bbox`` (COCO's
            ``[x, y, width, height]``), ``category`` and, where the box should become something else, ``prompt``.
    """
    image = read_image(folder / "demo.png")
    height, width = image.shape[:2]
    annotations = json.loads((folder / "demo.json").read_text("utf-8"))["annotations"]
    rng = random.Random(seed)  # noqa: S311 - a picture, not cryptography
    swaps = [index for index, annotation in enumerate(annotations) if "prompt" in annotation]
    others = [index for index in range(len(annotations)) if index not in swaps]
    drawn = rng.sample(others, min(max(BOXES - len(swaps), 0), len(others)))
    edits = []
    for index in sorted([*swaps, *drawn]):
        annotation = annotations[index]
        x, y, box_width, box_height = annotation["bbox"]
        boxes = from_pixels([(x, y, x + box_width, y + box_height)], height, width)
        recipe = dataclasses.replace(RECIPE, prompts=annotation.get("prompt", RECIPE.prompts))
        edits += plan(recipe, Scene(height, width, boxes, [annotation["category"]]), rng)
    return Demo(image, edits)


def paint(demo: Demo, inpainter: Inpainter) -> Iterator[np.ndarray]:
    """Paint the edits one by one, each into its own place of the original picture.

    Yields:
        The picture so far, once an edit; the last is the whole result. It is the same array every time.

    Raises:
        InpaintError: The inpainter failed.
    """
    canvas = demo.image.copy()
    for edit in demo.edits:
        [painted], _ = paint_all(RECIPE, [demo.image], [[edit]], inpainter)
        x0, y0, x1, y1 = edit.box
        canvas[y0:y1, x0:x1] = painted[y0:y1, x0:x1]
        yield canvas
