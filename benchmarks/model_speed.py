"""How long a crop takes the embedded model: ``python -m benchmarks.model_speed --before FOLDER --size 64 --steps 12``.

Each model paints at its own size and steps, in turns in one process on one thread; the ratio is the median of turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks import report
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.engine import Engine

BATCHES = (1, 8)


def requests(size: int, count: int) -> list[InpaintRequest]:
    """Crops of noise with a box in the middle."""
    pixels = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), np.uint8)
    mask = np.zeros((size, size), bool)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = True
    return [InpaintRequest(image, mask, "a red blood cell", seed=number) for number, image in enumerate(pixels)]


def seconds(engines: Sequence[Engine], batch: int, turns: int) -> list[list[float]]:
    """Of each engine, the time of a batch in each turn; the first turn warms up."""
    asked = [requests(engine.size, batch) for engine in engines]
    found: list[list[float]] = [[] for _ in engines]
    for _ in range(turns + 1):
        for engine, some, taken in zip(engines, asked, found, strict=True):
            start = time.perf_counter()
            engine.paint(some)
            taken.append(time.perf_counter() - start)
    return [taken[1:] for taken in found]


def main() -> None:
    """Run and write ``results/model_speed.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="FOLDER", help="the other model's diffusers folder")
    parser.add_argument("--size", type=int, required=True, help="its working size")
    parser.add_argument("--steps", type=int, required=True, help="its steps")
    parser.add_argument("--guidance-scale", type=float, default=2.0, help="its guidance")
    parser.add_argument("--turns", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    now = ModelSpec("tiny", device="cpu", serving="local")
    before = ModelSpec(
        arguments.before,
        size=arguments.size,
        steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        device="cpu",
        serving="local",
    )
    engines = [Engine(spec) for spec in (before, now)]
    results = {}
    for batch in BATCHES:
        old, new = seconds(engines, batch, arguments.turns)
        results[f"batch {batch}"] = {
            "before_ms_a_crop": round(1000 * statistics.median(old) / batch, 1),
            "now_ms_a_crop": round(1000 * statistics.median(new) / batch, 1),
            "speed_over_before": round(statistics.median(a / b for a, b in zip(old, new, strict=True)), 3),
        }
    resolved = now.resolved()
    results["settings"] = {
        "now": [resolved.size, resolved.steps, resolved.guidance_scale],
        "before": [arguments.size, arguments.steps, arguments.guidance_scale],
    }
    path = report.write("model_speed", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
