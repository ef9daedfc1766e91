"""Measure the tiny model: ``python -m benchmarks.readback --data DIR ...``.

Read-back: a classifier that has only seen real crops of the train split must recognise what was painted into boxes
of pictures that no training saw. Every box is painted once for every class of its data set, so most edits are
swaps. The classifier sees the box alone, scaled to one size, and never its surroundings.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from benchmarks import report
from benchmarks.tiny import data
from inpaint_transform.core import crops, seeds
from inpaint_transform.core.boxes import Box, from_pixels
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.serving.connect import connect

READER_SIZE = 32
READER_STEPS = 600
ROWS_SHOWN = 12


def reader_crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The pixels of a box, scaled to the classifier's size."""
    x0, y0, x1, y1 = box
    return cv2.resize(image[y0:y1, x0:x1], (READER_SIZE, READER_SIZE), interpolation=cv2.INTER_AREA)


def build_reader(classes: int) -> nn.Module:
    """A small convolutional classifier."""
    widths = (3, 24, 48, 96)
    blocks: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        blocks += [nn.Conv2d(narrow, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def train_reader(real: data.Crops, labels: list[str], seed: int) -> nn.Module:
    """Train the classifier on real boxes, every class equally often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    reader = build_reader(len(labels))
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3, weight_decay=0.01)
    for _ in range(READER_STEPS):
        targets = rng.integers(len(labels), size=48)
        batch = []
        for target in targets:
            candidates = real.by_label[labels[target]]
            index, (x0, y0, x1, y1) = candidates[rng.integers(len(candidates))]
            image = real.photos[index].image
            jitter = rng.uniform(-0.06, 0.06, 4) * (x1 - x0, y1 - y0, x1 - x0, y1 - y0)
            [box] = from_pixels([np.add((x0, y0, x1, y1), jitter)], *image.shape[:2])
            crop = reader_crop(image, box)
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
            # Light and sharpness must not give a painted crop away.
            crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.1, 1.5)) * rng.uniform(0.8, 1.2)
            batch.append(np.clip(crop, 0, 255))
        loss = nn.functional.cross_entropy(reader(_tensor(batch)), torch.from_numpy(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader.eval()


def _tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1


@torch.no_grad()
def read(reader: nn.Module, pictures: list[np.ndarray]) -> np.ndarray:
    """Class indices of some box crops."""
    return reader(_tensor(pictures)).argmax(dim=1).numpy()


def recalls(wanted: np.ndarray, got: np.ndarray) -> list[float]:
    """The recall of each class; their mean is the balanced accuracy."""
    return [float((got[wanted == label] == label).mean()) for label in sorted(set(wanted.tolist()))]


def evaluate(
    root: Path, inpainter: Inpainter, boxes_per_class: int, seed: int, context: float
) -> tuple[dict[str, Any], np.ndarray]:
    """Measure one data set.

    Returns:
        The numbers, and a contact sheet: a row a box, the original and then one edit for every class.
    """
    real = data.Crops(data.load([root], ["train"]))
    labels = real.labels
    reader = train_reader(real, labels, seed)
    unseen = data.Crops(data.load([root], ["val", "test"]))
    recipe = Recipe(
        prompts={label: data.NAMES[label][0] for label in labels}, context=context, min_box_size=data.MIN_SIDE
    )
    rng = random.Random(seed)
    standing, wanted, untouched, painted, rows = [], [], [], [], []
    rejected = 0
    for label in labels:
        for index, box in rng.sample(unseen.by_label[label], min(boxes_per_class, len(unseen.by_label[label]))):
            image = unseen.photos[index].image
            untouched.append(reader_crop(image, box))
            row = [tile(image, box)]
            for target in labels:
                edits = plan(recipe, Scene(*image.shape[:2], [box], [target]), rng)
                edited, [outcome] = paint(recipe, image, edits, inpainter)
                rejected += not outcome.accepted
                standing.append(labels.index(label))
                wanted.append(labels.index(target))
                painted.append(reader_crop(edited, box))
                row.append(tile(edited, box))
            rows.append(np.hstack(row))
    truth, before, got = np.array(wanted), np.array(standing), read(reader, painted)
    by_class = recalls(truth, got)
    swapped = truth != before
    shown = np.linspace(0, len(rows) - 1, min(ROWS_SHOWN, len(rows))).astype(int)
    numbers = {
        "classes": labels,
        "boxes": len(untouched),
        "edits": len(painted),
        "swaps": int(swapped.sum()),
        "rejected": rejected,
        "read_back_balanced_accuracy": round(float(np.mean(by_class)), 4),
        "read_back_by_class": {label: round(recall, 4) for label, recall in zip(labels, by_class, strict=True)},
        "read_back_swaps_only": round(float(np.mean(recalls(truth[swapped], got[swapped]))), 4),
        "classifier_on_real_unseen_crops": round(
            float(np.mean(recalls(before[:: len(labels)], read(reader, untouched)))), 4
        ),
        "seed_diversity": seed_diversity(unseen, labels, inpainter, recipe, seed),
    }
    return numbers, np.vstack([rows[position] for position in shown])


def tile(image: np.ndarray, box: Box) -> np.ndarray:
    """The surroundings of a box with a white margin, 160 pixels square, for the contact sheet."""
    height, width = image.shape[:2]
    surroundings = crops.crop(image, crops.context_window(box, height, width, 2.0), 156)
    return cv2.copyMakeBorder(surroundings, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def seed_diversity(
    unseen: data.Crops, labels: list[str], inpainter: Inpainter, recipe: Recipe, seed: int
) -> dict[str, float]:
    """How different the seeds look: painted pairs of one box against pairs of real objects of the class.

    Returns:
        Per class, the mean absolute difference of painted box crops between seeds over that between real crops.
    """
    rng = random.Random(seed)
    ratios = {}
    for label in labels:
        items = rng.sample(unseen.by_label[label], min(16, len(unseen.by_label[label])))
        real = [reader_crop(unseen.photos[index].image, box).astype(float) for index, box in items]
        differences = []
        for index, box in items[:6]:
            image = unseen.photos[index].image
            variants = []
            for attempt in range(4):
                draws = random.Random(seeds.retry_seed(seed, attempt))
                edits = plan(recipe, Scene(*image.shape[:2], [box], [label]), draws)
                variants.append(reader_crop(paint(recipe, image, edits, inpainter)[0], box).astype(float))
            differences += [np.abs(a - b).mean() for a, b in pairwise(variants)]
        between_real = np.mean([np.abs(a - b).mean() for a, b in pairwise(real)])
        ratios[label] = round(float(np.mean(differences) / between_real), 3)
    return ratios


def main() -> None:
    """Run and write ``results/readback.json``, and the contact sheets where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--context", type=float, default=2.0)
    parser.add_argument("--boxes-per-class", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheets", type=Path, help="folder for the contact sheets, one PNG a data set")
    arguments = parser.parse_args()
    spec = ModelSpec(arguments.model, steps=arguments.steps, guidance_scale=arguments.guidance_scale, serving="local")
    inpainter = connect(spec)
    start = time.monotonic()
    results: dict[str, Any] = {}
    for root in arguments.data:
        results[root.name], sheet = evaluate(
            root, inpainter, arguments.boxes_per_class, arguments.seed, arguments.context
        )
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(arguments.sheets / f"{root.name}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    resolved = spec.resolved()
    results["settings"] = {
        "steps": resolved.steps,
        "guidance_scale": resolved.guidance_scale,
        "context": arguments.context,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - start),
    }
    path = report.write("readback", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
