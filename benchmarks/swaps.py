"""Do labels and pixels agree after a class swap, and are the classes as even as promised.

``python -m benchmarks.swaps --data DIR ...``. Pictures that no training saw go through an ``A.Compose`` with
``BBoxInpaint``, set to what ``balance`` recommends for the training pictures and with a gate, as in a training. The
classifier of ``benchmarks.readback`` has only seen real crops and shares nothing with the CLIP of the gate but the
training pictures. It reads every box whose label came out changed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np

from benchmarks import report
from benchmarks.readback import train_reader
from benchmarks.tiny import data
from inpaint_transform import BBoxInpaint
from inpaint_transform.core.boxes import Box
from inpaint_transform.fit.classifiers import box_picture, read
from inpaint_transform.gates import ClipGate, FillGate
from inpaint_transform.swaps import balance, class_counts


def labelled(crops: data.Crops) -> list[tuple[Any, Box]]:
    """Every label and pixel box."""
    return [(label, box) for label, found in crops.by_label.items() for _, box in found]


def evaluate(root: Path, model: str, samples: int, seed: int) -> dict[str, Any]:
    """Measure one data set."""
    real = data.Crops(data.load([root], ["train"]))
    unseen = data.Crops(data.load([root], ["val", "test"]))
    labels = real.labels
    reader = train_reader(real, labels, seed)
    policy = balance(labelled(real))
    inpaint = BBoxInpaint(
        model,
        prompts="a photo of a {label}",
        class_names={label: data.NAMES[label][0] for label in labels},
        relabel=policy.swap,
        box_p=policy.box_p,
        gate=FillGate() & ClipGate(model),
        seed=seed,
        p=1.0,
    )
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    boxes: dict[int, tuple[list[Box], list[str]]] = {}
    for label, found in unseen.by_label.items():
        for photo, box in found:
            boxes.setdefault(photo, ([], []))
            boxes[photo][0].append(box)
            boxes[photo][1].append(label)
    order = sorted(boxes)
    rng = random.Random(seed)
    swapped: list[tuple[str, str, np.ndarray]] = []
    given_up = untouched = 0
    shown: list[tuple[Any, Box]] = []
    reached: Counter[str] = Counter()
    for number in range(samples):
        if number % len(order) == 0:
            inpaint.set_epoch(number // len(order))
            rng.shuffle(order)
        photo = order[number % len(order)]
        corners, names = boxes[photo]
        image = unseen.photos[photo].image
        sample = transform(image=image, bboxes=corners, labels=names)
        shown += zip(names, corners, strict=True)
        reached.update(sample["labels"])
        changed = [index for index, name in enumerate(names) if sample["labels"][index] != name]
        if not changed:
            same = sample["image"] is image or np.array_equal(sample["image"], image)
            untouched, given_up = untouched + same, given_up + (not same)
        swapped += [
            (names[index], sample["labels"][index], box_picture(sample["image"], corners[index])) for index in changed
        ]
    truth = np.array([labels.index(new) for _, new, _ in swapped])
    right = read(reader, [crop for _, _, crop in swapped]) == truth
    swaps = Counter((old, new) for old, new, _ in swapped)
    stats = inpaint.stats()
    return {
        "samples": samples,
        "swapped": len(swapped),
        "pixels and labels as they were": untouched,
        "pixels changed and no label": given_up,
        "attempts": stats.get("attempts", 0),
        "classes": stats["classes"],
        "boxes": {
            "before": class_counts(shown),
            "promised": policy.swap.expected_counts(shown, policy.box_p),
            "reached": dict(reached),
        },
        "labels that agree": round(float(right.mean()), 4),
        "by swap": {
            f"{old} -> {new}": {
                "count": count,
                "agree": round(
                    float(
                        np.mean([hit for hit, (a, b, _) in zip(right, swapped, strict=True) if (a, b) == (old, new)])
                    ),
                    4,
                ),
            }
            for (old, new), count in sorted(swaps.items())
        },
        "target": 0.95,
    }


def main() -> None:
    """Run and write ``results/swaps.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = {root.name: evaluate(root, arguments.model, arguments.samples, arguments.seed) for root in arguments.data}
    path = report.write("swaps", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
