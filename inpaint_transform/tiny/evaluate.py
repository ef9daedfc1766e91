"""Measure the tiny model: ``python -m inpaint_transform.tiny.evaluate --data DIR --out DIR``.

Read-back: a classifier that has only seen real crops of the train split must recognise what was painted into boxes
of pictures that no training saw. Every box is painted once for every class of its data set, so most edits are
swaps. The classifier sees the box alone, scaled to one size, and never its surroundings.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import random
import time
from pathlib import Path

import cv2
import diffusers
import numpy as np
import torch
from torch import nn

from inpaint_transform import core, seeds
from inpaint_transform.boxes import Box
from inpaint_transform.engine import Engine
from inpaint_transform.models import ModelSpec
from inpaint_transform.tiny import data

logger = logging.getLogger("inpaint_transform.tiny.evaluate")

READER_SIZE = 32
READER_STEPS = 600


def reader_crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The pixels of a box, scaled to the classifier's size."""
    x0, y0, x1, y1 = box
    return cv2.resize(image[y0:y1, x0:x1], (READER_SIZE, READER_SIZE), interpolation=cv2.INTER_AREA)


def build_reader(classes: int) -> nn.Module:
    """A small convolutional classifier."""
    widths = (3, 24, 48, 96)
    blocks: list[nn.Module] = []
    for narrow, wide in zip(widths, widths[1:], strict=False):
        blocks += [nn.Conv2d(narrow, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def train_reader(crops: data.Crops, labels: list[str], seed: int) -> nn.Module:
    """Train the classifier on real boxes, every class equally often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    reader = build_reader(len(labels))
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3, weight_decay=0.01)
    for _ in range(READER_STEPS):
        targets = rng.integers(len(labels), size=48)
        batch = []
        for target in targets:
            candidates = crops.by_label[labels[target]]
            index, (x0, y0, x1, y1) = candidates[rng.integers(len(candidates))]
            image = crops.photos[index].image
            jitter = rng.uniform(-0.06, 0.06, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
            corners = np.clip(np.rint([x0, y0, x1, y1] + jitter).astype(int), 0, [*image.shape[1::-1]] * 2)
            crop = reader_crop(image, tuple(corners.tolist()))
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
            # Light and sharpness must not give a painted crop away.
            crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.1, 1.5)) * rng.uniform(0.8, 1.2)
            batch.append(np.clip(crop, 0, 255))
        loss = nn.functional.cross_entropy(reader(_tensor(batch)), torch.from_numpy(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader.eval()


def _tensor(crops: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(crops).astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1


@torch.no_grad()
def read(reader: nn.Module, crops: list[np.ndarray]) -> np.ndarray:
    """Class indices of some box crops."""
    return reader(_tensor(crops)).argmax(dim=1).numpy()


def balanced_accuracy(wanted: list[int], got: np.ndarray) -> tuple[float, list[float]]:
    """Mean recall over the classes, and the recall of each."""
    truth = np.asarray(wanted)
    recalls = [float((got[truth == label] == label).mean()) for label in sorted(set(wanted))]
    return float(np.mean(recalls)), recalls


def evaluate(
    root: Path, engine: Engine, out: Path, boxes_per_class: int, seed: int, context: float
) -> dict[str, object]:
    """Measure one data set; writes a contact sheet beside the numbers."""
    crops = data.Crops(data.load([root], ["train"]))
    labels = crops.labels
    reader = train_reader(crops, labels, seed)
    unseen = data.Crops(data.load([root], ["val", "test"]))
    recipe = core.Recipe(prompts={label: data.NAMES[label][0] for label in labels}, context=context)

    rng = random.Random(seed)  # noqa: S311 - a fixed sample of boxes, not cryptography
    real_wanted, real_crops, wanted, painted, swapped = [], [], [], [], []
    rows = []
    rejected = 0
    for standing in labels:
        found = [item for item in unseen.by_label[standing] if min(item[1][2] - item[1][0], item[1][3] - item[1][1]) >= 24]
        for index, box in rng.sample(found, min(boxes_per_class, len(found))):
            photo = unseen.photos[index]
            real_wanted.append(labels.index(standing))
            real_crops.append(reader_crop(photo.image, box))
            row = [_tile(photo.image, box)]
            for target in labels:
                edits = core.plan(recipe, *photo.image.shape[:2], [box], [target], rng)
                if not edits:
                    continue
                image, [outcome] = core.paint(recipe, photo.image, edits, engine)
                rejected += not outcome.accepted
                wanted.append(labels.index(target))
                swapped.append(target != standing)
                painted.append(reader_crop(image, box))
                row.append(_tile(image, box))
            rows.append(np.hstack(row))
    got = read(reader, painted)
    accuracy, recalls = balanced_accuracy(wanted, got)
    swap_accuracy, _ = balanced_accuracy(
        [label for label, swap in zip(wanted, swapped, strict=True) if swap], got[np.asarray(swapped)]
    )
    real_accuracy, _ = balanced_accuracy(real_wanted, read(reader, real_crops))
    shown = [rows[position] for position in np.linspace(0, len(rows) - 1, min(12, len(rows))).astype(int)]
    cv2.imwrite(str(out / f"{root.name}.png"), cv2.cvtColor(np.vstack(shown), cv2.COLOR_RGB2BGR))
    return {
        "classes": labels,
        "boxes": len(real_wanted),
        "edits": len(wanted),
        "swaps": int(np.sum(swapped)),
        "rejected": rejected,
        "read_back_balanced_accuracy": round(accuracy, 4),
        "read_back_by_class": dict(zip(labels, [round(recall, 4) for recall in recalls], strict=True)),
        "read_back_swaps_only": round(swap_accuracy, 4),
        "classifier_on_real_unseen_crops": round(real_accuracy, 4),
        "seed_diversity": seed_diversity(unseen, labels, engine, recipe, seed),
    }


def _tile(image: np.ndarray, box: Box) -> np.ndarray:
    """The surroundings of a box, 160 pixels wide, for the contact sheet."""
    from inpaint_transform import crops

    tile = crops.crop(image, crops.context_window(box, *image.shape[:2], 2.0), 156)
    return cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def seed_diversity(
    unseen: data.Crops, labels: list[str], engine: Engine, recipe: core.Recipe, seed: int
) -> dict[str, float]:
    """How different the seeds look: painted pairs of one box against pairs of real objects of the class.

    Returns:
        Per class, the mean absolute difference of painted box crops between seeds over that between real crops.
    """
    rng = random.Random(seed)  # noqa: S311 - a fixed sample of boxes, not cryptography
    ratios = {}
    for label in labels:
        items = rng.sample(unseen.by_label[label], min(16, len(unseen.by_label[label])))
        real = [reader_crop(unseen.photos[index].image, box).astype(float) for index, box in items]
        real_difference = np.mean([np.abs(a - b).mean() for a, b in zip(real, real[1:], strict=False)])
        painted_differences = []
        for index, box in items[:6]:
            image = unseen.photos[index].image
            variants = []
            for attempt in range(4):
                edits = core.plan(recipe, *image.shape[:2], [box], [label], random.Random(seeds.retry_seed(seed, attempt)))  # noqa: S311
                if edits:
                    variants.append(reader_crop(core.paint(recipe, image, edits, engine)[0], box).astype(float))
            painted_differences += [np.abs(a - b).mean() for a, b in zip(variants, variants[1:], strict=False)]
        ratios[label] = round(float(np.mean(painted_differences) / real_difference), 3)
    return ratios


def main() -> None:
    """Command line of the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for readback.json and the contact sheets")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--context", type=float, default=2.0)
    parser.add_argument("--boxes-per-class", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    spec = ModelSpec(arguments.model, steps=arguments.steps, guidance_scale=arguments.guidance_scale)
    engine = Engine(spec)
    start = time.monotonic()
    results = {
        root.name: evaluate(
            root, engine, arguments.out, arguments.boxes_per_class, arguments.seed, arguments.context
        )
        for root in arguments.data
    }
    resolved = spec.resolved()
    report = {
        "command": "python -m inpaint_transform.tiny.evaluate",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "diffusers": diffusers.__version__},
        "steps": resolved.steps,
        "guidance_scale": resolved.guidance_scale,
        "context": arguments.context,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - start),
        "results": results,
    }
    (arguments.out / "readback.json").write_text(json.dumps(report, indent=2) + "\n")
    logger.info(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
