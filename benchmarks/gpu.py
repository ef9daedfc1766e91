"""Full-size Stable Diffusion 1.5 and SDXL inpainting on a GPU, bare and served: ``python -m benchmarks.gpu``.

Random weights: honest for speed and memory, for nothing else. No network is needed, and it ends within nine minutes:
the telling cases come first, every stage has its share of the time, and what was skipped is named in the result file,
which is written anew after each case. Without a CUDA device it says so and does nothing; ``--tiny`` runs the same flow
on small twins of the models, on the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_cases
from benchmarks.gpu_cases import Stage
from benchmarks.report import RESULTS
from benchmarks.serving import crop
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.serving.registry import connect, shutdown
from inpaint_transform.tools.bench import report

NOTE = "random weights: speed only"
# Stages in the order of their worth, and how they share the time. What one leaves, the next may use.
PLAN = {
    "sd15-eager": 0.27,
    "sd15-served": 0.13,
    "sd15-compiled": 0.16,
    "sdxl-eager": 0.20,
    "sdxl-served": 0.10,
    "sdxl-compiled": 0.14,
}
# Of what a DataLoader has in flight: workers, and requests of each.
LOADS = ((1, 1), (1, 16), (8, 1), (8, 2), (8, 4))
MEMORY_LOADS = ((1, 1), (8, 2))
SERVED_BATCH = 16
# Clients are forked, as DataLoader workers are; a process that uses the device itself cannot be.
fork = multiprocessing.get_context("fork")
spawn = multiprocessing.get_context("spawn")


class Results:
    """The result file, whole after every change."""

    def __init__(self, folder: Path, head: dict[str, Any]) -> None:
        self.path = folder / "gpu.json"
        self._begun = time.time()
        self._content: dict[str, Any] = {**head, "complete": False, "skipped": [], "models": {}}
        folder.mkdir(parents=True, exist_ok=True)
        # Asked once: it makes PyTorch look at the device.
        self._frame = report.describe("python -m benchmarks.gpu", sys.argv[1:], {})

    def add(self, where: Sequence[str], value: Any) -> None:
        """Set a value in the nested results of the models and write the file."""
        place = self._content["models"]
        for name in where[:-1]:
            place = place.setdefault(name, {})
        place[where[-1]] = value
        print(" ".join(where), value, flush=True)
        self._write()

    def skip(self, what: str, why: str) -> None:
        """Note what was not measured."""
        self._content["skipped"].append({"what": what, "why": why})
        print(f"skipped {what}: {why}", flush=True)
        self._write()

    def finish(self) -> None:
        """Mark the file as complete: every case is in it, or named as skipped."""
        self._content["complete"] = True
        self._write()

    def get(self, *where: str) -> Any:
        """A value that was added, or None."""
        place: Any = self._content["models"]
        for name in where:
            place = place.get(name) if isinstance(place, dict) else None
        return place

    def _write(self) -> None:
        self._content["elapsed_s"] = round(time.time() - self._begun, 1)
        part = self.path.with_suffix(".part")
        report.save(part, {**self._frame, "results": self._content})
        part.replace(self.path)


def in_process(work: Callable[[Stage, Connection], None], stage: Stage, results: Results, name: str) -> None:
    """Run a stage in a process of its own and take its results until it or its time ends."""
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=work, args=(stage, sender), daemon=True)
    process.start()
    sender.close()
    try:
        while True:
            if not receiver.poll(max(stage.until - time.time(), 0)):
                results.skip(name, "its time was over")
                break
            where, value = receiver.recv()
            results.add([stage.model, *where], value)
    except EOFError:
        process.join(5)
        if process.exitcode:
            results.skip(name, f"its process ended with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
        receiver.close()


def served(stage: Stage, results: Results) -> None:
    """One and eight processes that share one server: images/s, what the hand-over costs, and the device's memory."""
    seconds = 0.5 if stage.small else 5.0
    spec = stage.spec("fast", serving="shared", max_batch_size=min(SERVED_BATCH, stage.batches[-1]))
    for kind, loads in (("throughput", LOADS), ("memory", MEMORY_LOADS)):
        # Padded, so that one worker and eight make the very same calls.
        own = dataclasses.replace(spec, reproducible=kind == "memory")
        for workers, in_flight in loads:
            where = [stage.model, "served", kind, f"{workers} workers x {in_flight}"]
            left = stage.until - time.time()
            if left < 2 * seconds:
                results.skip(" ".join(where), "no time left")
                continue
            try:
                results.add(where, load(own, workers, in_flight, seconds, left))
            except RuntimeError as error:
                results.skip(" ".join(where), str(error))
        shutdown()
    summarise(stage, results, spec.resolved().max_batch_size)


def summarise(stage: Stage, results: Results, batch: int) -> None:
    """Served against bare, and eight workers' memory against one's."""
    bare = results.get(stage.model, "eager", "fast", "batches", str(batch), "images_per_s")
    cases = results.get(stage.model, "served", "throughput") or {}
    if bare:
        shares = {name: round(case["images_per_s"] / bare, 4) for name, case in cases.items()}
        results.add([stage.model, "served", f"share_of_bare_at_batch_{batch}"], shares)
    memory = [case["device_bytes"] for case in (results.get(stage.model, "served", "memory") or {}).values()]
    if len(memory) == len(MEMORY_LOADS) and None not in memory:
        results.add([stage.model, "served", "memory_is_equal"], len(set(memory)) == 1)


def rate(model: str, kind: str, results: Results) -> None:
    """Add to every bare case its effective TFLOP/s and its share of the matrix product's."""
    peak = results.get(model, "matmul_peak_tflops")
    for preset in results.get(model, kind) or {}:
        work = results.get(model, "eager", preset, "tflop_per_image")
        cases = results.get(model, kind, preset, "batches") or {}
        if peak and work and cases:
            rates = {batch: work * case["images_per_s"] for batch, case in cases.items()}
            results.add([model, kind, preset, "tflops"], {batch: round(rate, 4) for batch, rate in rates.items()})
            shares = {batch: round(rate / peak, 4) for batch, rate in rates.items()}
            results.add([model, kind, preset, "share_of_matmul_peak"], shares)


def load(spec: ModelSpec, workers: int, in_flight: int, seconds: float, limit: float) -> dict[str, Any]:
    """Let processes paint for some seconds.

    Raises:
        RuntimeError: A worker failed, or they were not ready within ``limit`` seconds.
    """
    until = time.time() + limit
    barrier, answers = fork.Barrier(workers + 1), fork.Queue()
    arguments = (spec, in_flight, seconds, barrier, answers)
    processes = [fork.Process(target=paint, args=arguments, daemon=True) for _ in range(workers)]
    inpainter = connect(spec)
    for process in processes:
        process.start()
    try:
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(max(until - time.time(), 0.1))
        before = inpainter.stats()
        found = [answers.get(timeout=max(until - time.time(), 0.1)) for _ in processes]
        after = inpainter.stats()
        used = device_used_mib()
    except queue.Empty:
        raise RuntimeError("its time was over") from None
    finally:
        for process in processes:
            process.kill()
            process.join()
    errors = [answer for answer in found if isinstance(answer, str)]
    if errors:
        raise RuntimeError(errors[0])
    return compared(found, before, after, used)


def compared(
    found: list[tuple[int, float, float]], before: dict[str, Any], after: dict[str, Any], used: int | None
) -> dict[str, Any]:
    """Figures of a load from its workers' counts and the server's counters around it."""
    count = sum(images for images, _, _ in found)
    elapsed = max(end for _, _, end in found) - min(begin for _, begin, _ in found)
    requests, batches, busy = (after[name] - before[name] for name in ("requests", "batches", "busy_s"))
    return {
        "images_per_s": round(count / elapsed, 3),
        "mean_batch": round(requests / batches, 3),
        "busy_share": round(min(busy / elapsed, 1), 4),
        # With one worker that has one request: what is neither the engine nor waiting for others.
        "outside_engine_ms_per_batch": round(1e3 * (elapsed - busy) / batches, 3),
        "rejected": sum(after["rejected"].values()) - sum(before["rejected"].values()),
        "device_bytes": after.get("device_bytes"),
        "device_used_mib": used,
    }


def paint(spec: ModelSpec, in_flight: int, seconds: float, barrier: Any, answers: Any) -> None:
    """A worker: paint ``in_flight`` crops at a time and answer the count, begin and end, or the error's text."""
    try:
        client: Inpainter = connect(spec)
        requests = [crop(client.size, os.getpid() + number) for number in range(in_flight)]
        for _ in range(2):
            client.paint(requests)
        barrier.wait()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            client.paint(requests)
            count += in_flight
        answers.put((count, begin, time.perf_counter()))
    except Exception as error:  # whatever it is, the benchmark goes on with the next case
        answers.put(f"{type(error).__name__}: {error}")
        barrier.abort()


def device_used_mib() -> int | None:
    """Memory in use on the first device by all processes; None where the driver's tool does not tell."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return int(answer.stdout) if answer.stdout.strip().isdigit() else None


def main() -> None:
    """Run the plan and write ``gpu.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "stages", nargs="*", help=f"any of {', '.join(PLAN)}; default: all, and MODEL-eager writes the model"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json")
    parser.add_argument("--minutes", type=float, default=8.5, help="when to be done")
    parser.add_argument("--tiny", action="store_true", help="small models on the CPU: tries the flow, measures nothing")
    arguments = parser.parse_args()
    if not arguments.tiny and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here, so there is nothing to measure; --tiny tries the flow on the CPU.")
        return
    unknown = set(arguments.stages) - set(PLAN)
    if unknown:
        parser.error(f"unknown stage {sorted(unknown)[0]!r}; use any of {', '.join(PLAN)}")
    plan = {name: share for name, share in PLAN.items() if name in (arguments.stages or PLAN)}
    small, until = arguments.tiny, time.time()
    results = Results(arguments.out, {"note": NOTE, "models_are": "small twins" if small else "full size"})
    with tempfile.TemporaryDirectory() as models:
        for name, share in plan.items():
            model, _, kind = name.partition("-")
            until += 60 * arguments.minutes * share / sum(plan.values())
            batches = (1, 2, 4) if small else (1, 2, 4, 8, 16, 32, 64)
            stage = Stage(model, small, Path(models) / model, batches, until)
            if time.time() > until:
                results.skip(name, "no time left")
            elif kind == "eager":
                in_process(gpu_cases.eager, stage, results, name)
            elif not (stage.folder / "tiny_vae" / "config.json").exists():
                results.skip(name, "its model was not written")
            elif kind == "served":
                served(stage, results)
            else:
                in_process(gpu_cases.compiled, stage, results, name)
            if kind != "served":
                rate(model, kind, results)
    results.finish()
    print(f"wrote {results.path}")


if __name__ == "__main__":
    main()
