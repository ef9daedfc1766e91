"""What the transform costs beside the model: ``python -m benchmarks.overhead``.

Three ratios, each taken side by side in one run with the two sides alternating:

- fired: ``BBoxInpaint`` in a Compose against the same diffusers pipeline called bare on the same crop;
- not fired: ``BBoxInpaint(p=0)`` in a Compose against ``A.NoOp`` in the same Compose;
- import: ``import inpaint_transform`` and its face against ``import albumentations``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import albumentations as A
import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline

from benchmarks import report
from inpaint_transform import BBoxInpaint
from inpaint_transform.core import crops
from inpaint_transform.core.masks import shape_mask
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe

BOX = (200, 140, 360, 300)
PROMPT = "a red blood cell"


def alternate(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Time two calls in turn, after one warm-up of each; seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    first(), second()
    for _ in range(rounds):
        for call, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    return times


def compare(first: Callable[[], object], second: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median milliseconds of two calls and the median of their ratios, pair by pair."""
    a, b = alternate(first, second, rounds)
    return {
        "first_ms": round(statistics.median(a) * 1e3, 4),
        "second_ms": round(statistics.median(b) * 1e3, 4),
        "ratio": round(statistics.median(x / y for x, y in zip(a, b, strict=True)), 4),
        "rounds": rounds,
    }


def compose(transform: A.BasicTransform) -> A.Compose:
    """The transform as a user has it."""
    return A.Compose([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))


def fired(rounds: int) -> dict[str, float]:
    """The transform that always fires, one 640x480 picture and one box, against the bare pipeline."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    spec = ModelSpec("tiny").resolved()
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(spec.id, torch_dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    [edit] = plan(Recipe(prompts=PROMPT), Scene(*image.shape[:2], [BOX], ["cell"]), random.Random(0))
    crop = crops.crop(image, edit.window, spec.size or 64)
    mask = crops.align_mask(crops.crop_mask(shape_mask(BOX, edit.window, "box"), spec.size or 64), 4)
    picture = (crop.astype(np.float32) / 255)[None]
    hole = mask.astype(np.float32)[None]

    def bare() -> object:
        return pipeline(
            prompt=PROMPT,
            image=picture,
            mask_image=hole,
            height=spec.size,
            width=spec.size,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance_scale,
            strength=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
        )

    transform = compose(BBoxInpaint("tiny", prompts=PROMPT, p=1.0))

    def ours() -> object:
        return transform(image=image, bboxes=[BOX], labels=["cell"])

    return compare(ours, bare, rounds)


def not_fired(rounds: int, megapixels: float) -> dict[str, float]:
    """The transform that never fires against ``A.NoOp``."""
    width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
    image = np.zeros((width * 3 // 4, width, 3), np.uint8)
    ours, noop = compose(BBoxInpaint("tiny", prompts=PROMPT, p=0.0)), compose(A.NoOp(p=1.0))
    sample = {"image": image, "bboxes": [BOX], "labels": ["cell"]}
    return compare(lambda: [ours(**sample) for _ in range(50)], lambda: [noop(**sample) for _ in range(50)], rounds)


def import_seconds(statement: str) -> float:
    """Seconds that a fresh interpreter takes for an import."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def imports(rounds: int) -> dict[str, float]:
    """Median import times in fresh interpreters."""
    statements = {
        "albumentations_s": "import albumentations",
        "package_s": "import inpaint_transform",
        "face_s": "from inpaint_transform import BBoxInpaint",
    }
    times: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            times[name].append(import_seconds(statement))
    medians = {name: round(statistics.median(found), 3) for name, found in times.items()}
    return {**medians, "face_minus_albumentations_s": round(medians["face_s"] - medians["albumentations_s"], 3)}


def main() -> None:
    """Run and write ``results/overhead.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="two rounds, small images")
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else arguments.rounds
    sizes = (0.3,) if arguments.quick else (0.3, 2.0, 12.0)
    results = {
        "fired_against_bare_pipeline": fired(rounds),
        "not_fired_against_noop": {f"{size} MP": not_fired(rounds, size) for size in sizes},
        "imports": imports(1 if arguments.quick else max(3, rounds // 6)),
    }
    path = report.write("overhead", results)
    for name, found in results.items():
        print(f"{name}: {found}")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
