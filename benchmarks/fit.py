"""Fit the embedded model to another set: ``python -m benchmarks.fit --data DIR --out FOLDER``.

What it takes on this machine, what ``fit`` says of the result, and a picture of held-out boxes. The defaults are those
of ``inpaint-transform fit --base tiny --prompt 'a photo of a {label}'``. What is broken off goes on when it is called
again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks import report
from benchmarks.tiny import data
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import classifiers, finder, fit
from inpaint_transform.fit.evaluate import EDITS
from inpaint_transform.fit.pictures import MIN_SIDE
from inpaint_transform.fit.sheets import edit_sheet
from inpaint_transform.serving.registry import connect

# Of the picture.
ROWS = 4


def main() -> None:
    """Run and write ``results/fit.json`` and ``results/fit.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set folder with coco.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its checkpoints")
    parser.add_argument("--base", default="tiny")
    parser.add_argument(
        "--turnable", nargs="*", default=[], metavar="LABEL", help="classes without an upright position"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="hardly any training, to try it out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    few: dict[str, Any] = {}
    if arguments.quick:
        classifiers.STEPS, finder.STEPS = 20, 20
        few = {"steps": 2, "steps_of_autoencoder": 2, "steps_of_decoder": 2, "crops": 16}
    train, held_out = (data.samples([arguments.data], [part]) for part in ("train", "val"))
    labels = sorted({label for sample in train for label in sample.labels})
    prompts = {label: (f"a photo of a {label.replace('_', ' ')}",) for label in labels}
    begun = time.monotonic()
    card = fit(
        train,
        held_out,
        base=arguments.base,
        out=arguments.out,
        prompts=prompts,
        turnable=arguments.turnable,
        edits=12 if arguments.quick else EDITS,
        command=report.command("fit"),
        progress=True,
        **few,
    )
    # Of a run that goes on where it was broken off less than it took: the card has the time of its training.
    taken = round(time.monotonic() - begun)
    spec = ModelSpec(str(arguments.out), size=card["size"], **card["paints"], device="cpu", serving="local")
    recipe = Recipe(prompts=prompts, min_box_size=MIN_SIDE)
    picture = edit_sheet(connect(spec), held_out, recipe, labels, ROWS)
    path = report.write("fit", {**card, "seconds_of_this_call": taken, "threads": arguments.threads})
    cv2.imwrite(str(path.with_suffix(".png")), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(json.dumps(card, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
