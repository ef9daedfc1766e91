"""Measure the gates: ``python -m benchmarks.gates --data DIR ...``.

Boxes of pictures that no training saw are painted once for every class of their data set, so most edits are swaps.
The classifier of ``benchmarks.readback``, which has only seen real crops, reads what is in each box; it shares
nothing with the CLIP model of the gate but the training pictures. How often it reads the wanted class is compared
before and after gating, with the model's own settings and in a hurry, where more goes wrong. A stricter reading by a
classifier that also knows the background between the objects stands beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import report
from benchmarks.readback import train_reader
from benchmarks.tiny import data
from benchmarks.tiny.train_clip import BACKGROUND, draw_background
from inpaint_transform.core import blend, crops, masks, seeds
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.feather import feather_alpha
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter, InpaintRequest, Question
from inpaint_transform.fit.classifiers import box_picture, read
from inpaint_transform.fit.evaluate import tile
from inpaint_transform.gates import Candidate, ClipGate, FillGate, Gate, Verdict
from inpaint_transform.serving.registry import connect

CONTEXT = 2.0
FEATHER = 0.08
BACKGROUND_BOXES = 600
BATCH = 24
GATES: dict[str, Gate] = {
    "clip": ClipGate("tiny"),
    "clip, margin 0.5": ClipGate("tiny", min_margin=0.5),
    "fill & clip": FillGate() & ClipGate("tiny"),
}
SETTINGS: dict[str, dict[str, Any]] = {"own settings": {}, "in a hurry": {"steps": 3, "guidance_scale": 1.0}}
TIMED = 32
SHOWN = 8


def request_for(image: np.ndarray, box: Box, label: str, labels: list[str], seed: int, size: int) -> InpaintRequest:
    """Paint a class into a box, and ask which class it shows."""
    window = crops.context_window(box, *image.shape[:2], CONTEXT)
    mask = masks.shape_mask(box, window, "box")
    noun = data.NAMES[label][0]
    texts = GATES["clip"].texts(noun, nouns_beside(label, labels))
    return InpaintRequest(
        crops.crop(image, window, size),
        crops.crop_mask(mask, size),
        f"a photo of a {noun}",
        seed=seed,
        question=None if texts is None else Question(crops.scaled_box(box, window, size), texts),
    )


def nouns_beside(label: str, labels: list[str]) -> tuple[str, ...]:
    """The nouns of the other classes."""
    return tuple(data.NAMES[other][0] for other in labels if other != label)


def candidate(
    image: np.ndarray, box: Box, label: str, labels: list[str], painted: np.ndarray, answer: tuple[float, ...] | None
) -> Candidate:
    """What a gate gets to see: the window before, and composited as the transform does it."""
    x0, y0, x1, y1 = window = crops.context_window(box, *image.shape[:2], CONTEXT)
    before = image[y0:y1, x0:x1].copy()
    mask = masks.shape_mask(box, window, "box")
    pixels = blend.match_border(crops.uncrop(painted, window), before, mask)
    alpha = feather_alpha(mask, FEATHER * min(sides(box)), window, *image.shape[:2])
    after = before.copy()
    blend.blend_into(after, pixels, (0, 0, x1 - x0, y1 - y0), alpha)
    inner = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
    return Candidate(
        before, after, inner, label, data.NAMES[label][0], other_nouns=nouns_beside(label, labels), answer=answer
    )


def evaluate(
    root: Path, inpainter: Inpainter, boxes_per_class: int, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measure one data set.

    Returns:
        The numbers, and for every gate a picture: a row of accepted and a row of rejected boxes, the least certain.
    """
    real = data.Crops(data.load([root], ["train"]))
    labels = real.labels
    draws = np.random.default_rng(seed)
    box_sizes = [sides(box) for found in real.by_label.values() for _, box in found]
    real.by_label[BACKGROUND] = [draw_background(real.photos, box_sizes, draws) for _ in range(BACKGROUND_BOXES)]
    readers = {
        "read-back": train_reader(real, labels, seed),
        "strict read-back": train_reader(real, [*labels, BACKGROUND], seed),
    }
    unseen = data.Crops(data.load([root], ["val", "test"]))
    rng = random.Random(seed)
    jobs = [
        (unseen.photos[index].image, box, target)
        for label in labels
        for index, box in rng.sample(unseen.by_label[label], min(boxes_per_class, len(unseen.by_label[label])))
        for target in labels
    ]
    size = inpainter.size
    requests = [request_for(*job, labels, seeds.noise_seed(rng), size) for job in jobs]
    candidates, wanted = [], []
    for start in range(0, len(jobs), BATCH):
        part = slice(start, start + BATCH)
        for (image, box, target), result in zip(jobs[part], inpainter.paint(requests[part]), strict=True):
            if result.image is not None:
                candidates.append(candidate(image, box, target, labels, result.image, result.answer))
                wanted.append(labels.index(target))
    crops_read = [box_picture(one.painted, one.box) for one in candidates]
    truth = np.array(wanted)
    right = {name: read(reader, crops_read) == truth for name, reader in readers.items()}
    found: dict[str, Any] = {
        "edits": len(jobs),
        "rejected by the engine": len(jobs) - len(candidates),
        "real unseen objects": {name: real_accuracy(reader, unseen, labels) for name, reader in readers.items()},
        "before": {name: shares(hits, truth, labels) for name, hits in right.items()},
        "gates": {},
    }
    sheets = {}
    for name, gate in GATES.items():
        verdicts = gate.judge(candidates)
        kept = np.array([verdict.accepted for verdict in verdicts])
        found["gates"][name] = {
            "kept": shares(kept, truth, labels),
            "after": {reader: shares(hits[kept], truth[kept], labels) for reader, hits in right.items()},
            "rejected of the wrongly read": {reader: share(~kept[~hits]) for reader, hits in right.items()},
            "rejected of the rightly read": {reader: share(~kept[hits]) for reader, hits in right.items()},
        }
        sheets[name] = sheet(candidates, verdicts)
    found["cost"] = cost(requests[:TIMED], candidates[:TIMED], inpainter)
    return found, sheets


def real_accuracy(reader: Any, unseen: data.Crops, labels: list[str]) -> dict[str, float | None]:
    """How often the classifier reads real unseen objects rightly."""
    found = {}
    for index, label in enumerate(labels):
        pictures = [box_picture(unseen.photos[photo].image, box) for photo, box in unseen.by_label[label]]
        found[label] = share(read(reader, pictures) == index)
    return found


def share(hits: np.ndarray) -> float | None:
    """The share of hits; None of nothing."""
    return round(float(hits.mean()), 4) if hits.size else None


def shares(hits: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> dict[str, float | None]:
    """The share of hits in all, and by class."""
    return {"all": share(hits), **{label: share(hits[truth == index]) for index, label in enumerate(labels)}}


def cost(requests: list[InpaintRequest], candidates: list[Candidate], inpainter: Inpainter) -> dict[str, float]:
    """What the questions and the judging take, over painting alone."""
    plain = [dataclasses.replace(request, question=None) for request in requests]

    def seconds(asked: list[InpaintRequest]) -> float:
        start = time.perf_counter()
        inpainter.paint(asked)
        return time.perf_counter() - start

    # In turns, and the least of each: what else runs on the machine only ever adds.
    pairs = [(seconds(plain), seconds(requests)) for _ in range(3)]
    painting, asking = (min(column) for column in zip(*pairs, strict=True))
    start = time.perf_counter()
    GATES["fill & clip"].judge(candidates)
    judging = time.perf_counter() - start
    return {
        "painting, ms an edit": round(1e3 * painting / len(requests), 2),
        "CLIP over painting": round((asking - painting) / painting, 4),
        "judging over painting": round(judging / painting, 4),
    }


def sheet(candidates: list[Candidate], verdicts: list[Verdict]) -> np.ndarray:
    """The accepted ones with the lowest scores above the rejected ones with the highest: before over after."""
    rows = []
    for accepted in (True, False):
        some = [(v.score, one) for one, v in zip(candidates, verdicts, strict=True) if v.accepted == accepted]
        some.sort(key=lambda pair: pair[0], reverse=not accepted)
        shown = [one for _, one in some[:SHOWN]]
        for pixels in ([one.original for one in shown], [one.painted for one in shown]):
            tiles = [tile(image, one.box) for image, one in zip(pixels, shown, strict=True)]
            tiles += [np.full((160, 160, 3), 255, np.uint8)] * (SHOWN - len(tiles))
            rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    """Run and write ``results/gates.json``, and the pictures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--boxes-per-class", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheets", type=Path, help="folder for the pictures, a PNG a data set, setting and gate")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for setting, fields in SETTINGS.items():
        inpainter = connect(ModelSpec(arguments.model, clip=GATES["clip"].clip, serving="local", **fields))
        results[setting] = {}
        for root in arguments.data:
            results[setting][root.name], sheets = evaluate(root, inpainter, arguments.boxes_per_class, arguments.seed)
            for name, picture in sheets.items() if arguments.sheets else ():
                arguments.sheets.mkdir(parents=True, exist_ok=True)
                file = arguments.sheets / f"{root.name}, {setting}, {name}.png"
                cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        inpainter.close()
    path = report.write("gates", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
