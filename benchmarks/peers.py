"""Every way to repaint boxes, side by side: ``python -m benchmarks.peers``.

All ways paint the same boxes of the same pictures with the embedded ``tiny`` model in the same number of steps, in
processes of their own, one way alive at a time. They take turns, round by round, so that whatever else the machine
does hits all alike; a ratio is the median of the rounds' ratios. Memory is taken in a turn before the others, while
the main process has not imported diffusers: as in a training, where only the processes that paint need it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import report, scaling
from benchmarks.ways import IDLE, SHARED, SPEC, WAYS, Sample, Way
from inpaint_transform.datasets import reading
from inpaint_transform.datasets.reading import BoxFormat, read_image
from inpaint_transform.serving.registry import connect, shutdown
from inpaint_transform.tools.bench import samples
from inpaint_transform.tools.bench.memory import pss_mib

fork = multiprocessing.get_context("fork")

BASE = "a: plain call, squashed picture"
PROFILED = (
    BASE,
    "b: plain call, padding_mask_crop",
    "bare pipeline, batch 1",
    "f: ours, per sample",
    "bare pipeline, batch 8",
    "f: ours, batch of 8",
)
QUICK = (*PROFILED, "f: ours, shared, 4 workers", "d: kornia RandomDissolving", "e: CoarseDropout inpaint_telea")
# A training's main process and four workers that do not paint.
IDLE_NAME, SHARED_NAME = "4 workers that never paint", "f: ours, shared, 4 workers"
# Nothing but diffusers and as many crops a call as four workers ask for. A process of its own: CUDA allows no fork.
ALONE_NAME = "a process with one pipeline"
ALONE = """
import sys, diffusers, numpy, torch
pipe = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
    sys.argv[1], torch_dtype=torch.float32, local_files_only=True
)
size = int(sys.argv[2])
crops, masks = numpy.zeros((4, size, size, 3), "f4"), numpy.ones((4, size, size), "f4")
pipe(["a cell"] * 4, crops, masks, height=size, width=size, num_inference_steps=3)
print("painted", flush=True)
sys.stdin.read()
"""


def read_samples(pictures: Sequence[samples.Picture], count: int) -> list[Sample]:
    """The first boxes that the transform would paint, one a sample."""
    images = [read_image(picture.file) for picture in pictures]
    drawn = (
        Sample(images[seed % len(pictures)], edit.box)
        for seed in range(100 * count)
        for edit in samples.edits_of(pictures[seed % len(pictures)], seed)[:1]
    )
    return [sample for _, sample in zip(range(count), drawn, strict=False)]


@dataclass(frozen=True)
class Turn:
    """What one turn of a way showed."""

    images_per_s: float
    host_mib: float | None
    change_outside: int | None


def take_turn(way: Way, batch: Sequence[Sample]) -> Turn:
    """Start a way's processes, let them load and warm up, and time them while they paint the batch.

    Raises:
        EOFError: A process died; what it said is on stderr.
    """
    ours: list[Connection] = []
    processes = []
    try:
        for number in range(way.processes):
            here, there = fork.Pipe()
            ours.append(here)
            process = fork.Process(target=work, args=(there, [*ours], way, batch[number :: way.processes]), daemon=True)
            process.start()
            processes.append(process)
            there.close()
        heard(ours)  # all have loaded
        start = time.perf_counter()
        tell(ours)
        heard(ours)
        seconds = time.perf_counter() - start
        changes = [change for change in heard(ours) if change is not None]
        pids = [os.getpid(), *(process.pid for process in processes if process.pid is not None)]
        if way.shared:
            pids.append(int(connect(SHARED).stats()["pid"]))
        turn = Turn(len(batch) / seconds, pss_mib(pids), max(changes, default=None))
        tell(ours)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()  # those that are left after an error
        shutdown()
    return turn


def alone_mib() -> float | None:
    """Memory of a process that has painted with nothing but diffusers."""
    command = [sys.executable, "-c", ALONE, SPEC.resolved().id, str(SPEC.resolved().size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "painted\n":
            raise RuntimeError("the pipeline did not paint")
        return pss_mib([process.pid])


def tell(connections: Sequence[Connection]) -> None:
    """Let every process go on."""
    for connection in connections:
        connection.send(None)


def heard(connections: Sequence[Connection]) -> list[Any]:
    """What every process says next."""
    return [connection.recv() for connection in connections]


def work(there: Connection, inherited: Sequence[Connection], way: Way, batch: Sequence[Sample]) -> None:
    """What a way's process does with its share of the samples."""
    for connection in inherited:
        connection.close()  # so that the death of the main process is noticed
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // way.processes)))
    paint = way.make()
    paint(batch[: way.batch])
    there.send(None)
    there.recv()
    painted = paint(batch)
    there.send(None)
    there.send(max(map(change_outside, batch, painted), default=None))
    there.recv()  # memory is measured before


def change_outside(sample: Sample, painted: np.ndarray) -> int:
    """The largest change outside the box, in grey levels."""
    difference = cv2.absdiff(sample.image, painted)
    x0, y0, x1, y1 = sample.box
    difference[y0:y1, x0:x1] = 0
    return int(difference.max())


@contextlib.contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Seconds spent in the pipeline's parts while the block runs."""
    import diffusers
    import transformers

    methods = {
        "unet": (diffusers.UNet2DConditionModel, "forward"),
        "vae_encode": (diffusers.AutoencoderKL, "encode"),
        "vae_decode": (diffusers.AutoencoderKL, "decode"),
        "text": (transformers.CLIPTextModel, "forward"),
    }
    spent = dict.fromkeys(methods, 0.0)

    def clock(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*arguments, **keywords)
            finally:
                spent[name] += time.perf_counter() - start

        return timed

    plain = {name: getattr(owner, method) for name, (owner, method) in methods.items()}
    for name, (owner, method) in methods.items():
        setattr(owner, method, clock(name, plain[name]))
    try:
        yield spent
    finally:
        for name, (owner, method) in methods.items():
            setattr(owner, method, plain[name])


def profile(batch: Sequence[Sample], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds an image that each way spends in the model's parts and beside them, in its best round."""
    paints = {name: WAYS[name].make() for name in PROFILED}
    for name, paint in paints.items():
        paint(batch[: WAYS[name].batch])
    found: dict[str, list[dict[str, float]]] = {name: [] for name in paints}
    for _ in range(rounds):
        for name, paint in paints.items():
            with clocked() as spent:
                start = time.perf_counter()
                paint(batch)
                total = time.perf_counter() - start
            row = {**spent, "handling": total - sum(spent.values()), "total": total}
            found[name].append({part: round(seconds * 1e3 / len(batch), 3) for part, seconds in row.items()})
    return {name: min(rows, key=lambda row: row["total"]) for name, rows in found.items()}


def targets(
    turns: dict[str, list[Turn]], memory: dict[str, float | None], large_ms: float
) -> dict[str, dict[str, Any]]:
    """What was asked for, what was found, and whether that is enough."""
    bare = fastest([name for name in turns if name.startswith("bare")], turns)
    in_process = [name for name in turns if name.startswith("f") and "shared" not in name]
    found = {}
    for ours, other, least in [
        ("f: ours, per sample", "bare pipeline, batch 1", 0.95),
        ("f: ours, batch of 8", "bare pipeline, batch 8", 0.95),
        (fastest(in_process, turns), BASE, 2.0),
        ("f: ours, shared, 4 workers", bare, 0.9),
        ("f: ours, shared, 4 workers, ConcurrentDataset", bare, 0.9),
    ]:
        if ours in turns:
            value = ratio(turns, ours, other)
            found[f"{ours} / {other}"] = {"found": value, "at_least": least, "met": value >= least}
    shared, alone, idle = memory[SHARED_NAME], memory[ALONE_NAME], memory[IDLE_NAME]
    if shared is not None and alone is not None and idle is not None:
        share = round(shared / (idle + alone), 4)
        key = "memory: shared by 4 workers / one pipeline and the workers' own"
        found[key] = {"found": share, "at_most": 1.15, "met": share <= 1.15}
    key = "12 megapixels, one box, without the pipeline, ms"
    found[key] = {"found": large_ms, "at_most": 15.0, "met": large_ms <= 15.0}
    return found


def fastest(names: Sequence[str], turns: dict[str, list[Turn]]) -> str:
    """The way that paints most images a second."""
    return max(names, key=lambda name: statistics.median(turn.images_per_s for turn in turns[name]))


def ratio(turns: dict[str, list[Turn]], ours: str, other: str) -> float:
    """The median of the speeds' ratios, round by round."""
    pairs = zip(turns[ours], turns[other], strict=True)
    return round(statistics.median(a.images_per_s / b.images_per_s for a, b in pairs), 4)


def measure(pictures: Sequence[samples.Picture], rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything."""
    ways = {name: way for name, way in WAYS.items() if not quick or name in QUICK}
    names = list(ways)
    batch = read_samples(pictures, 8 if quick else 32)
    main_mib = pss_mib([os.getpid()])
    weighed = (SHARED_NAME,) if quick else names
    memory = {name: take_turn(ways[name], batch[: 4 if quick else 16]).host_mib for name in weighed}
    memory[IDLE_NAME] = take_turn(IDLE, batch[:4]).host_mib
    memory[ALONE_NAME] = alone_mib()
    importlib.import_module(
        "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint"
    )  # from here on no process needs to
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for number in range(rounds):
        # Neighbours stay neighbours, but each round begins elsewhere and every other goes backwards.
        first = random.Random(number).randrange(len(names))
        order = (names[first:] + names[:first])[:: -1 if number % 2 else 1]
        for name in order:
            turns[name].append(take_turn(ways[name], batch))
            print(f"round {number + 1}: {name:48} {turns[name][-1].images_per_s:9.2f}/s", flush=True)
    # A process that has used its thread pool must not fork, so what runs in this process comes last.
    large = scaling.one_size(12.0, 5 if quick else 50)
    rows = {}
    for name, found in turns.items():
        changes = [turn.change_outside for turn in found if turn.change_outside is not None]
        rows[name] = {
            "images_per_s": round(statistics.median(turn.images_per_s for turn in found), 2),
            "lowest_and_highest": [round(pick(turn.images_per_s for turn in found), 2) for pick in (min, max)],
            # Neither dissolving nor filling is the same work.
            "against_a": None if name[0] in "de" else ratio(turns, name, BASE),
            "processes": ways[name].processes,
            "host_mib": memory.get(name),
            "change_outside": max(changes, default=None),
            **({"note": note} if (note := ways[name].note) else {}),
        }
    return {
        "ways": rows,
        "targets": targets(turns, memory, large["fired_ms"]),
        "profile_ms_per_image": profile(batch[:8], 1 if quick else 5),
        "large_picture": large,
        "memory_mib": {"main process": main_mib, **{name: memory[name] for name in (IDLE_NAME, ALONE_NAME)}},
        "images": len(batch),
        "picture_sizes": sorted({f"{s.image.shape[1]}x{s.image.shape[0]}" for s in batch}),
        "rounds": rounds,
    }


def main() -> None:
    """Run and write ``results/peers.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="some of the ways, one round, a few pictures")
    parser.add_argument("--data", type=Path, help="folder with images/ and coco.json, instead of the embedded picture")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)  # as a DataLoader's workers have it
    pictures = samples.embedded()
    if arguments.data:
        found = reading.find(arguments.data / "images", BoxFormat.COCO, arguments.data / "coco.json")
        pictures = samples.read_own(found, print)
    results = measure(pictures, 1 if arguments.quick else arguments.rounds, arguments.quick)
    for name, row in results["ways"].items():
        print(
            f"{name:48} {row['images_per_s']:9.2f}/s  {row['against_a']!s:>7} x a"
            f"  {row['host_mib']!s:>7} MiB  outside: {row['change_outside']}"
        )
    for section in ("targets", "profile_ms_per_image"):
        print(section)
        for name, found in results[section].items():
            print(f"  {name:75} {found}")
    print(f"wrote {report.write('peers', results)}")


if __name__ == "__main__":
    main()
