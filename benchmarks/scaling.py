"""How the cost grows: ``python -m benchmarks.scaling [SECTION ...]``; writes numbers and a plot for each section.

Sections:

- size: one image of 0.3 to 50 megapixels, one box of 300x300; everything but the pipeline, beside a copy of the image;
- boxes: 1 to 1000 boxes in a 12-megapixel image, one of them painted, and all of them painted;
- workers: 1 to 16 processes that share an engine which sleeps 20 ms + 2 ms an item, against the same engine bare;
- prompts: 1 to 10,000 distinct prompts: in the transform, and in the engine's prompt cache with ``tiny`` at one step.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import report, serving
from inpaint_transform import BBoxInpaint
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.engines import ENGINE_VARIABLE, load_engine, memory_bytes
from inpaint_transform.serving.registry import connect, shutdown

# Of the pipeline that is left out.
WORKING_SIZE = 512
SIDE = 300
# Requests asked of the engine at once.
AT_ONCE = 8

Rows = list[dict[str, Any]]


class Negative:
    """An engine that costs next to nothing and whose pictures pass every check."""

    size = WORKING_SIZE

    def __init__(self, spec: ModelSpec) -> None:
        del spec

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """The negatives."""
        return [InpaintResult(255 - request.image) for request in requests]

    def close(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def without_pipeline() -> Iterator[ModelSpec]:
    """A spec whose pipeline, in this process, is ``Negative``."""
    before = os.environ.get(ENGINE_VARIABLE)
    os.environ[ENGINE_VARIABLE] = "benchmarks.scaling:Negative"
    try:
        yield ModelSpec("negative", device="cpu", serving="local")
    finally:
        if before is None:
            del os.environ[ENGINE_VARIABLE]
        else:
            os.environ[ENGINE_VARIABLE] = before


def picture(megapixels: float) -> np.ndarray:
    """Noise, 4:3."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5 / 4) * 4
    return np.random.default_rng(0).integers(0, 256, (width * 3 // 4, width, 3), np.uint8)


def compose(spec: ModelSpec, **arguments: Any) -> A.Compose:
    """The transform as a user has it."""
    transform = BBoxInpaint(spec, **{"prompts": "a red blood cell", "p": 1.0, **arguments})
    return A.Compose([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))


def milliseconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of some calls that take turns, after one to warm up; and the best time of each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                times[name].append((time.perf_counter() - start) * 1e3)
    found = {}
    for name, measured in times.items():
        found[f"{name}_ms"] = round(statistics.median(measured), 4)
        found[f"{name}_best_ms"] = round(min(measured), 4)
    return found


def one_size(megapixels: float, rounds: int) -> dict[str, float]:
    """An image with one box: the transform that fires, the one that does not, and a copy of the image."""
    image = picture(megapixels)
    x, y = image.shape[1] // 2 - SIDE // 2, image.shape[0] // 2 - SIDE // 2
    sample = {"image": image, "bboxes": [(x, y, x + SIDE, y + SIDE)], "labels": ["cell"]}
    with without_pipeline() as spec:
        fires, rests = compose(spec), compose(spec, p=0.0)
        if np.array_equal(fires(**sample)["image"], image):
            raise RuntimeError("the transform did not fire")
        calls = {"fired": lambda: fires(**sample), "not_fired": lambda: rests(**sample), "copy": image.copy}
        return {"megapixels": megapixels, **milliseconds(calls, rounds)}


def size(quick: bool) -> Rows:
    """Cost against image size."""
    sizes = (0.3, 2.0, 12.0) if quick else (0.3, 1.0, 2.0, 5.0, 12.0, 25.0, 50.0)
    return [one_size(megapixels, 3 if quick else 30) for megapixels in sizes]


def boxes(quick: bool) -> Rows:
    """Cost against the number of boxes: a grid of boxes that do not touch."""
    image = picture(12.0)
    cell = 100
    corners = [
        (x + 10, y + 10, x + 90, y + 90)
        for y in range(0, image.shape[0] - cell, cell)
        for x in range(0, image.shape[1] - cell, cell)
    ]
    rows = []
    with without_pipeline() as spec:
        for count in (1, 10, 50) if quick else (1, 3, 10, 30, 100, 300, 1000):
            sample = {"image": image, "bboxes": corners[:count], "labels": ["cell"] * count}
            one, every, noop = compose(spec), compose(spec, num_boxes=count), compose(spec, p=0.0)
            calls = {
                "one_painted": functools.partial(one, **sample),
                "all_painted": functools.partial(every, **sample),
                "not_fired": functools.partial(noop, **sample),
            }
            rows.append({"boxes": count, **milliseconds(calls, 2 if quick else max(3, min(30, 1000 // count)))})
    return rows


def workers(quick: bool) -> Rows:
    """Throughput against the number of processes, each with as many requests in flight as fill their shared batch."""
    seconds, rows = 0.5 if quick else 5.0, []
    batch = 16
    for count in (1, 2) if quick else (1, 2, 4, 8, 16):
        at_once = batch // count
        bare = serving.Sleeper(ModelSpec("bare"))
        requests = [serving.crop(WORKING_SIZE, seed) for seed in range(batch)]
        bare_rate = rate(bare.paint, requests, seconds)
        spec = serving.stand_in(serving.Sleeper, batch)
        try:
            inpainter = connect(spec)
            inpainter.paint(requests[:1])
            inpainter.close()  # a client that has just been heard from would be waited for

            def work(index: int, spec: ModelSpec = spec, at_once: int = at_once) -> tuple[float, float, int]:
                client = connect(spec)
                mine = [serving.crop(WORKING_SIZE, index * at_once + number) for number in range(at_once)]
                client.paint(mine)
                start, done = time.perf_counter(), 0
                while time.perf_counter() - start < seconds:
                    done += len(client.paint(mine))
                return start, time.perf_counter(), done

            used = serving.cpu_seconds(inpainter.stats()["pid"])
            found = serving.in_processes(count, work)
            used = serving.cpu_seconds(inpainter.stats()["pid"]) - used
            elapsed = max(end for _, end, _ in found) - min(start for start, _, _ in found)
            done = sum(images for _, _, images in found)
            rows.append(
                {
                    "workers": count,
                    "in_flight_each": at_once,
                    "images_per_s": round(done / elapsed, 1),
                    "bare_per_s": round(bare_rate, 1),
                    "mean_batch": inpainter.stats()["mean_batch"],
                    "server_cpu_ms_per_image": round(used / done * 1e3, 4),
                }
            )
        finally:
            shutdown()
            del os.environ[ENGINE_VARIABLE]
    return rows


def rate(paint: Callable[[Sequence[InpaintRequest]], Sequence[object]], requests: Any, seconds: float) -> float:
    """Requests painted a second."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += len(paint(requests))
    return done / (time.perf_counter() - start)


def prompts(quick: bool) -> Rows:
    """Cost against the number of distinct prompts, each new to the engine first, and then known."""
    counts = (1, 8, 24) if quick else (1, 10, 100, 1000, 10_000)
    rounds = 3 if quick else 30
    image = picture(0.3)
    sample = {"image": image, "bboxes": [(100, 100, 400, 400)], "labels": ["cell"]}
    engine = load_engine(ModelSpec("tiny", device="cpu", steps=1, max_batch_size=AT_ONCE))
    crop = serving.crop(engine.size)
    engine.paint([dataclasses.replace(crop, prompt="warm up")] * AT_ONCE)
    rows, known = [], 0
    for count in counts:
        asked = [dataclasses.replace(crop, prompt=f"cell number {number}") for number in range(count)]
        fresh = asked[known:]
        fresh += fresh[-1:] * (-len(fresh) % AT_ONCE)  # full batches alone compare
        start = time.perf_counter()
        for first in range(0, len(fresh), AT_ONCE):
            engine.paint(fresh[first : first + AT_ONCE])
        new_ms = (time.perf_counter() - start) / len(fresh) * 1e3
        known = count
        # From all over the cache.
        again = [asked[number * count // AT_ONCE] for number in range(AT_ONCE)]
        with without_pipeline() as spec:
            transform = compose(spec, prompts=[each.prompt for each in asked])
            calls = {
                "known_batch": functools.partial(engine.paint, again),
                "transform": functools.partial(transform, **sample),
            }
            found = milliseconds(calls, rounds)
        rows.append(
            {
                "prompts": count,
                "new_ms": round(new_ms, 3),
                "known_ms": round(found["known_batch_ms"] / AT_ONCE, 3),
                "transform_ms": found["transform_ms"],
                "process_mib": round(memory_bytes()["resident_bytes"] / 2**20, 1),
            }
        )
    engine.close()
    return rows


SECTIONS: dict[str, Callable[[bool], Rows]] = {"size": size, "boxes": boxes, "workers": workers, "prompts": prompts}
# What each plot shows: title, unit, and its lines by column.
PLOTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "size": (
        "one 300x300 box, everything but the pipeline",
        "ms an image",
        {"fired_ms": "fired", "copy_ms": "one copy of the image", "not_fired_ms": "not fired"},
    ),
    "boxes": (
        "boxes in 12 megapixels, everything but the pipeline",
        "ms an image",
        {"all_painted_ms": "all painted", "one_painted_ms": "one painted", "not_fired_ms": "not fired"},
    ),
    "workers": (
        "workers that share an engine of 20 ms + 2 ms an item, 16 in flight",
        "images/s",
        {"images_per_s": "shared", "bare_per_s": "engine called bare"},
    ),
    "prompts": (
        "distinct prompts",
        "ms an image",
        {
            "new_ms": "tiny, one step, prompt new to the engine",
            "known_ms": "tiny, one step, prompt known",
            "transform_ms": "transform without the pipeline",
        },
    ),
}
UNITS = {"size": "megapixels", "boxes": "boxes", "workers": "workers", "prompts": "prompts"}


def draw(name: str, rows: Rows) -> None:
    """Draw a section to ``results/scaling_NAME.png``."""
    title, unit, lines = PLOTS[name]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes: Axes = figure.subplots()
    across = [row[UNITS[name]] for row in rows]
    for column, label in lines.items():
        axes.plot(across, [row[column] for row in rows], marker="o", label=label)
    axes.set(title=title, xlabel=UNITS[name], ylabel=unit, xscale="log")
    if name == "workers":
        axes.set_ylim(bottom=0, top=1.15 * max(row[column] for row in rows for column in lines))
    else:
        axes.set_yscale("log")
    axes.set_xticks(across, [f"{value:g}" for value in across], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(report.RESULTS / f"scaling_{name}.png", dpi=100)


def main() -> None:
    """Run the sections, write ``results/scaling.json`` and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.sections) - set(SECTIONS)):
        parser.error(f"unknown section {unknown[0]!r}; use any of {', '.join(SECTIONS)}")
    cv2.setNumThreads(0)  # as a DataLoader's workers have it
    results = {}
    # Processes are forked for the workers: before this one has used its thread pool.
    for name in sorted(arguments.sections or SECTIONS, key=lambda name: name != "workers"):
        results[name] = SECTIONS[name](arguments.quick)
        print(name)
        for row in results[name]:
            print(f"  {row}", flush=True)
    path = report.write("scaling", results)
    for name, rows in results.items():
        draw(name, rows)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
