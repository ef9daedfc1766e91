"""One run of the study: train a detector on a draw, one way, and say how good it is.

``python -m benchmarks.study.train --set bccd --n 20 --draw 0 --seed 0 --out DIR ...`` is the training command that the
study gives to the harness; ``metrics.json`` and ``detections.json`` are what it leaves. Where data, paintings and the
prior are does not change a result, so the environment tells it: ``STUDY_DATA``, ``STUDY_CACHE`` and ``STUDY_MODEL``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.study import bank, classical, detector, feed, score, sets
from benchmarks.study.patches import KINDS, Painting
from inpaint_transform.core.balancing import balance
from inpaint_transform.fit.pictures import Sample

# Of all boxes that may be painted: what helped in the literature (Kupyn and Rupprecht, 2406.08249).
SHARE = 0.3
DATA, CACHE, MODEL = "STUDY_DATA", "STUDY_CACHE", "STUDY_MODEL"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        painting: What is painted, or None.
        gate: Whether only what the gate takes is used.
        balanced: Whether rare classes are painted more often and, where sizes allow, frequent ones as them.
        share: How many of the boxes that may be painted are, in one showing; the same for all arms.
        looks: How many paintings of a box are in use at a time; 0 for all.
        echo: Uses after which one gives way to the next; 0 for never.
        level: What is done to pictures anyway, see ``classical``.
        repeat_factor: Whether pictures with rare classes are shown more often.
        extra: Real pictures beyond the draw's: the oracle's.
    """

    painting: Painting | None = None
    gate: bool = False
    balanced: bool = False
    share: float = SHARE
    looks: int = 0
    echo: int = 0
    level: str = "strong"
    repeat_factor: bool = False
    extra: int = 0


def make_layer(
    found: sets.StudySet, samples: Sequence[Sample], arm: Arm, model: str, cache: Path, draw: int
) -> feed.Layer | None:
    """What an arm paints into the pictures of a draw, and how often; every arm changes equally many boxes."""
    if arm.painting is None:
        return None
    usable = bank.paintable(samples, found.labels)
    wanted = arm.share * sum(map(len, usable))
    painted = bank.get(found, samples, arm.painting, model, cache, draw)
    patches = feed.by_slot(painted.patches, len(samples), arm.gate)
    if arm.painting.kind == "insert":
        return feed.Layer(patches, [], placed=wanted / len(samples))
    fixed: list[dict[int, float]] = [{} for _ in samples]
    if arm.balanced:
        aims = balance(bank.boxes_of(samples), min_box_size=bank.MIN_BOX_SIZE)
        swapped = bank.get(found, samples, replace(arm.painting, swap=True), model, cache, draw)
        for row, slots in enumerate(feed.by_slot(swapped.patches, len(samples), arm.gate)):
            labels = samples[row].labels
            own = [
                slot for slot in patches[row] if labels[slot] in aims.box_p and labels[slot] not in aims.swap.targets
            ]
            fixed[row] = {slot: aims.box_p[labels[slot]] for slot in [*slots, *own]}
            patches[row].update(slots)
        total = sum(sum(slots.values()) for slots in fixed)
        fixed = [{slot: p * min(1.0, wanted / total) for slot, p in slots.items()} for slots in fixed]
    # What is left of the count goes to all other boxes alike.
    others = [dict.fromkeys(sorted(set(slots) - set(fixed[row])), 1.0) for row, slots in enumerate(patches)]
    rest = feed.shares(others, wanted - sum(sum(slots.values()) for slots in fixed))
    p = [{**own, **other} for own, other in zip(fixed, rest, strict=True)]
    return feed.Layer(patches, p, looks=arm.looks, echo=arm.echo)


def run(
    found: sets.StudySet,
    arm: Arm,
    *,
    count: int,
    draw: int,
    seed: int,
    cache: Path,
    model: str = "tiny",
    name: str = "scratch",
    iterations: int = 1500,
    batch: int = 8,
    device: str = "cpu",
    measure: bool = False,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train and test.

    Args:
        found: The set.
        arm: The way.
        count: Pictures of the draw; 0 for all.
        draw: Number of the draw.
        seed: Decides on weights, order and draws.
        cache: Folder of what is painted.
        model: The prior.
        name: Of the detector.
        iterations: Steps.
        batch: Examples a step.
        device: Where the detector is trained.
        measure: Whether to measure how well painted boxes are told from real ones.

    Returns:
        The metrics, and what was found in the test pictures in COCO's form.
    """
    pictures = found.draw(count, draw, arm.extra)
    samples = pictures[: len(pictures) - arm.extra]
    layer = make_layer(found, samples, arm, model, cache, draw)
    seen = sets.see(found, pictures)
    weights = feed.repeat_factors(seen, len(found.labels)) if arm.repeat_factor else np.ones(len(seen))
    examples = feed.Feed(seen, layer, arm.level, weights, seed)
    trained = detector.build(name, len(found.labels), seed).to(device)
    start = time.monotonic()
    detector.train(trained, examples, len(found.labels), iterations, batch)
    metrics: dict[str, Any] = {
        "training_s": round(time.monotonic() - start, 1),
        # In one showing of a picture.
        "changed": round(examples.changed.total() / examples.shown, 4),
        "changed_by_class": {
            label: round(examples.changed[number] / examples.shown, 4) for number, label in enumerate(found.labels)
        },
    }
    detections: list[dict[str, Any]] = []
    for part, held in (("val", found.validation), ("test", found.test)):
        detections = detector.detect(trained, found, held, sets.see(found, held))
        metrics[part] = score.average_precision(sets.truth(found.root, held), detections)
    if measure and arm.painting is not None:
        painted = bank.get(found, samples, arm.painting, model, cache, draw)
        metrics["told_apart"] = round(bank.told_apart(samples, painted, draw), 4)
    return metrics, detections


def _count(text: str) -> int:
    """A number of pictures, 0 for all."""
    return 0 if text == "all" else int(text)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=list(sets.SOURCES), required=True)
    parser.add_argument("--n", type=_count, required=True, help="pictures of the draw, or all")
    parser.add_argument("--pictures", type=_count, help="pictures to train on, where there are more: the oracle's")
    parser.add_argument("--draw", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", help="digest of the prior's weights; another prior is refused")
    parser.add_argument("--detector", choices=detector.DETECTORS, default="scratch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classical", choices=list(classical.LEVELS), default="strong")
    parser.add_argument("--repeat-factor", action="store_true")
    parser.add_argument("--paint", choices=KINDS)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--balance", action="store_true")
    parser.add_argument("--share", type=float, default=SHARE)
    parser.add_argument("--variants", type=int, default=Painting.variants)
    parser.add_argument("--looks", type=int, default=0)
    parser.add_argument("--echo", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--words", choices=("right", "scrambled"), default="right")
    parser.add_argument("--matched", action="store_true", help="painted boxes made as sharp as real ones")
    parser.add_argument("--fit-steps", type=int, nargs=3, default=Painting.fit_steps)
    parser.add_argument("--measure", action="store_true", help="how well painted boxes are told from real ones")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and write ``metrics.json`` and ``detections.json``."""
    given = parse(arguments)
    # Several of them run side by side, and sums over more threads round differently.
    torch.set_num_threads(1)
    model = os.environ.get(MODEL, "tiny")
    if given.weights is not None and given.weights != (found := bank.digest_of_weights(model)):
        raise ValueError(f"--weights {given.weights}: {MODEL}={model!r} has the weights {found}; start the study again")
    painting = None
    if given.paint is not None:
        # One painting of a box is like another where nothing is drawn.
        variants = 1 if given.paint.endswith("identity") else given.variants
        painting = Painting(
            given.paint,
            variants,
            steps=given.steps,
            words=given.words,
            matched=given.matched,
            fit_steps=tuple(given.fit_steps),
        )
    arm = Arm(
        painting,
        given.gate,
        given.balance,
        given.share,
        given.looks,
        given.echo,
        given.classical,
        given.repeat_factor,
        (given.pictures or given.n) - given.n,
    )
    metrics, detections = run(
        sets.load(Path(os.environ[DATA]) / given.set),
        arm,
        count=given.n,
        draw=given.draw,
        seed=given.seed,
        cache=Path(os.environ[CACHE]),
        model=model,
        name=given.detector,
        iterations=given.iterations,
        batch=given.batch,
        device=given.device,
        measure=given.measure,
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "detections.json").write_text(json.dumps(detections), "utf-8")
    (given.out / "metrics.json").write_text(json.dumps(metrics, indent=1), "utf-8")
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
