"""Measure a model: ``python -m benchmarks.readback --data DIR ...``.

Boxes of pictures that no training saw are painted, half of them as another class, and judged by ``fit.evaluate``: by
readers, a detector and a classifier of real and painted boxes that have seen real pictures only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from benchmarks import report
from benchmarks.tiny import data
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import classifiers, finder
from inpaint_transform.fit.autoencoder import load_round_trip
from inpaint_transform.fit.evaluate import EDITS, SHOWN, Shown, evaluate
from inpaint_transform.fit.sheets import edit_sheet
from inpaint_transform.serving.registry import connect

# Of each set's picture.
ROWS = 3


def train_reader(real: data.Crops, labels: Sequence[str], seed: int) -> nn.Module:
    """A classifier that has seen real boxes only, sharp and blurred ones."""
    patches = {
        label: [classifiers.patch(real.photos[index].image, box) for index, box in real.by_label[label]]
        for label in labels
    }
    return classifiers.train_reader(patches, labels, seed)


def sheet(shown: Sequence[Shown], columns: int = 4) -> np.ndarray:
    """Some edits, before and after side by side: ``(H, W, 3)`` uint8."""
    pairs = [
        cv2.copyMakeBorder(np.hstack([one.before, one.after]), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for one in shown
    ]
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % columns)
    return np.vstack([np.hstack(pairs[start : start + columns]) for start in range(0, len(pairs), columns)])


def main() -> None:
    """Run and write ``results/readback.json``, a picture of each set, and the contact sheets where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int, help="working size of a model that is no preset")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--context", type=float, default=2.0)
    parser.add_argument("--feather", type=float, default=Recipe.feather)
    parser.add_argument("--edits", type=int, default=EDITS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few edits and hardly trained readers, to try it out")
    parser.add_argument("--sheets", type=Path, help="folder for the contact sheets, one JPEG of each class")
    parser.add_argument("--show", type=int, default=20, help="how many edits of either kind these show")
    arguments = parser.parse_args()
    if arguments.quick:
        classifiers.STEPS, finder.STEPS, arguments.edits = 20, 20, 12
    asked = {name: getattr(arguments, name) for name in ("size", "steps", "guidance_scale")}
    # None would undo what a preset says.
    given = {name: value for name, value in asked.items() if value is not None}
    spec = ModelSpec(arguments.model, serving="local", **given)
    inpainter, round_trip = connect(spec), load_round_trip(spec)
    start = time.monotonic()
    results: dict[str, Any] = {}
    resolved = spec.resolved()
    for root in arguments.data:
        train, unseen = data.samples([root], ["train"]), data.samples([root], ["val", "test"])
        labels = {label for sample in train for label in sample.labels}
        recipe = Recipe(
            prompts={label: data.captions()[label][0] for label in labels},
            context=arguments.context,
            feather=arguments.feather,
            min_box_size=data.MIN_SIDE,
        )
        show = arguments.show if arguments.sheets else SHOWN
        found = evaluate(inpainter, train, unseen, recipe, arguments.edits, arguments.seed, round_trip, show)
        results[root.name] = found.numbers
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            for label in sorted(labels):
                picture = sheet([one for one in found.shown if one.target == label])
                path = arguments.sheets / f"readback_{root.name}_{label}.jpg"
                cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        overview = edit_sheet(inpainter, unseen, recipe, sorted(labels), ROWS)
        results["settings"] = {
            "model": Path(arguments.model).name,
            "size": resolved.size,
            "steps": resolved.steps,
            "guidance_scale": resolved.guidance_scale,
            "context": arguments.context,
            "feather": arguments.feather,
            "seed": arguments.seed,
            "seconds": round(time.monotonic() - start),
        }
        # After each set, for a whole run takes most of an hour.
        path = report.write("readback", results)
        cv2.imwrite(str(path.with_name(f"readback_{root.name}.png")), cv2.cvtColor(overview, cv2.COLOR_RGB2BGR))
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
