"""Make the demo picture: ``python -m benchmarks.demo_picture``.

A blood smear that never was: the tiny model paints cell after cell onto an empty background. So the package carries
an annotated picture without carrying anybody's photograph.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from benchmarks.tiny import data
from inpaint_transform.core import crops
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.serving.registry import connect
from inpaint_transform.tiny import CHECKPOINT

HEIGHT, WIDTH = 400, 560
# Class, how many, and the range of the box side in pixels; large ones find a place first.
CELLS = (("WBC", 2, (116, 132)), ("RBC", 12, (70, 86)), ("Platelets", 4, (34, 40)))
# Boxes, by their position among the cells, that the demo is to turn into something else.
SWAPS = {2: "a white blood cell", 6: "a white blood cell", 0: "a red blood cell"}
CONTEXT = 1.6
GAP = 4


def background(rng: np.random.Generator) -> np.ndarray:
    """An empty smear: warm grey, unevenly lit, with a little grain."""
    light = cv2.resize(rng.normal(0, 5, (4, 5, 1)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 6, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 1.2)
    return np.clip(np.array([214, 208, 202]) + light[:, :, None] + grain, 0, 255).astype(np.uint8)


def places(rng: np.random.Generator) -> list[tuple[str, Box]]:
    """Boxes that do not touch each other or the border."""
    taken: list[tuple[str, Box]] = []
    for label, count, sides in CELLS:
        placed = 0
        for _ in range(5000):
            side = int(rng.integers(*sides))
            width, height = side, round(side * rng.uniform(0.9, 1.1))
            x0, y0 = int(rng.integers(8, WIDTH - width - 8)), int(rng.integers(8, HEIGHT - height - 8))
            box = (x0, y0, x0 + width, y0 + height)
            if placed < count and all(
                box[2] + GAP <= b[0] or b[2] + GAP <= box[0] or box[3] + GAP <= b[1] or b[3] + GAP <= box[1]
                for _, b in taken
            ):
                taken.append((label, box))
                placed += 1
    return taken


def make(inpainter: Inpainter, seed: int) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    """Paint the picture, one cell after the other, each seeing those before it."""
    rng = np.random.default_rng(seed)
    image = background(rng)
    cells = places(rng)
    recipe = Recipe(context=CONTEXT, feather=0.12)
    for label, box in cells:
        edit = Edit(
            index=0,
            box=box,
            window=crops.context_window(box, HEIGHT, WIDTH, CONTEXT),
            label=label,
            prompt=f"a {data.NAMES[label][0]}",
            negative_prompt="",
            strength=1.0,
            seed=int(rng.integers(2**31)),
        )
        image, _ = paint(recipe, image, [edit], inpainter)
    return image, cells


def main() -> None:
    """Write ``demo.png`` and ``demo.json`` into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, default=CHECKPOINT.parent)
    arguments = parser.parse_args()
    image, cells = make(connect(ModelSpec(arguments.model, serving="local")), arguments.seed)
    cv2.imwrite(str(arguments.out / "demo.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    found: list[dict[str, object]] = []
    for number, (label, (x0, y0, x1, y1)) in enumerate(cells):
        found.append({"bbox": [x0, y0, x1 - x0, y1 - y0], "category": data.NAMES[label][0]})
        if number in SWAPS:
            found[-1]["prompt"] = SWAPS[number]
    (arguments.out / "demo.json").write_text(json.dumps({"annotations": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
