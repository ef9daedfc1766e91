"""What ``benchmarks.gpu`` measures inside a process of its own: engines called bare, without any serving.

A process a stage: it can be ended when its time is over, however long a compiler or a driver takes, and all memory of
the device is free again after it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import full_size
from benchmarks.serving import crop
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.engine import Engine
from inpaint_transform.engine.speed import compile_parts

FEW_STEPS = {"guidance_scale": 1.0, "scheduler": "LCMScheduler"}
# What a preset changes; "tiny_vae" and "small" stand for a folder and a size that depend on the model.
PRESETS: dict[str, dict[str, Any]] = {
    "turbo": {**FEW_STEPS, "steps": 1, "vae": "tiny_vae"},
    "fast": {**FEW_STEPS, "steps": 4, "vae": "tiny_vae"},
    "balanced": {**FEW_STEPS, "steps": 4},
    "turbo-small": {**FEW_STEPS, "steps": 1, "vae": "tiny_vae", "size": "small"},
    "quality": {"steps": 20, "guidance_scale": 7.5},
}
# Compiling takes most of a minute for each batch size, so the telling ones come first.
COMPILED = {"fast": (16, 1, 64), "quality": (8,)}
BESIDE = 8
# Long enough for a clock, short enough for sixty cases.
LEAST_S, MOST_CALLS = 1.0, 10

Report = Callable[[Sequence[str], Any], None]


@dataclass(frozen=True)
class Stage:
    """What one process is to do.

    Attributes:
        model: Key of the architectures.
        small: Whether to use their small twins, on the CPU.
        folder: Where the models lie, or are to be written.
        batches: Batch sizes, ascending.
        until: When to be ready, as ``time.time()``.
    """

    model: str
    small: bool
    folder: Path
    batches: tuple[int, ...]
    until: float

    @property
    def architecture(self) -> full_size.Architecture:
        """The model's configs."""
        return (full_size.SMALL if self.small else full_size.FULL)[self.model]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device("cpu" if self.small else "cuda:0")

    def spec(self, preset: str, **changes: Any) -> ModelSpec:
        """The spec of a preset of this model."""
        values = {**PRESETS[preset], **changes}
        sizes = {None: self.architecture.size, "small": self.architecture.small_size}
        values["size"] = sizes[values.get("size")]
        if "vae" in values:
            values["vae"] = str(self.folder / "tiny_vae")
        # Of CUDA only float16 is measured; the small twins are fastest as the CPU likes them.
        values |= {"device": str(self.device), "dtype": "float32" if self.small else "float16"}
        return ModelSpec(str(self.folder / "pipeline"), **values)


def eager(stage: Stage, connection: Connection) -> None:
    """Write the model, then measure every preset, what neighbours change, and a matrix product to compare with."""
    with _reporting(connection) as report:
        report(["matmul_peak_tflops"], peak(stage))
        _timed(report, "build_s", lambda: full_size.save(stage.architecture, stage.folder, stage.device, _dtype(stage)))
        _free()
        sizes = (stage.architecture.size, stage.architecture.small_size)
        flops = {size: full_size.flops(stage.architecture, size) for size in sizes}
        per_size = {
            str(size): {name: round(count / 1e12, 6) for name, count in counts.items()}
            for size, counts in flops.items()
        }
        report(["tflop_per_image_and_network"], per_size)
        for preset in ("fast", "turbo", "balanced"):
            _guarded(report, ["eager", preset], functools.partial(row, stage, preset, report, flops))
        _guarded(report, ["neighbours"], lambda: neighbours(stage, report))
        for preset in ("quality", "turbo-small"):
            _guarded(report, ["eager", preset], functools.partial(row, stage, preset, report, flops))


def compiled(stage: Stage, connection: Connection) -> None:
    """Measure the telling batch sizes of two presets, compiled."""
    with _reporting(connection) as report:
        for preset, batches in COMPILED.items():
            allowed = [batch for batch in batches if batch <= stage.batches[-1]]
            if allowed:
                _guarded(
                    report,
                    ["compiled", preset],
                    functools.partial(compiled_row, stage, preset, allowed, report),
                )


def compiled_row(stage: Stage, preset: str, batches: list[int], report: Report) -> None:
    """One preset, compiled for each batch size; the first call is the compilation."""
    where = ["compiled", preset]
    with _engine(stage.spec(preset, max_batch_size=max(batches))) as engine:
        # ModelSpec(compile=True) does just this, and then compiles every smaller bucket too: minutes more.
        compile_parts(engine._pipeline)
        for batch in batches:
            if time.time() > stage.until:
                report([*where, "stopped"], f"before batch {batch}: no time left")
                return
            found = measure(engine, _requests(engine.size, batch), stage)
            if engine._batch.most < max(batches):
                report([*where, "stopped"], f"at batch {batch}: out of memory")
                return
            report([*where, "batches", str(batch)], found)


def row(stage: Stage, preset: str, report: Report, flops: dict[int, dict[str, int]]) -> None:
    """One preset at every batch size, until the memory or the row's share of the time is over."""
    where = ["eager", preset]
    left = stage.until - time.time()
    if left <= 0:
        report([*where, "stopped"], "not begun: no time left")
        return
    # Slow rows may not eat up what comes after them.
    until = time.time() + left / 2
    begin = time.perf_counter()
    with _engine(stage.spec(preset, max_batch_size=stage.batches[-1])) as engine:
        report([*where, "load_s"], round(time.perf_counter() - begin, 2))
        last = 0.0
        for batch in stage.batches:
            if time.time() + 4 * last > until:  # twice the images, once to warm up and once to measure
                report([*where, "stopped"], f"before batch {batch}: no time left")
                break
            requests = _requests(engine.size, batch)
            found = measure(engine, requests, stage)
            if engine._batch.most < stage.batches[-1]:
                report([*where, "stopped"], f"at batch {batch}: out of memory")
                break
            last = found["seconds"]
            report([*where, "batches", str(batch)], found)
            if batch == stage.batches[0]:
                work = work_per_image(engine, requests, flops[engine.size], preset)
                report([*where, "tflop_per_image"], round(work / 1e12, 6))
            if batch == min(BESIDE, stage.batches[-1]):
                report([*where, "split"], {"batch": batch, **time_split(engine, requests, stage.device)})


def measure(engine: Engine, requests: list[InpaintRequest], stage: Stage) -> dict[str, Any]:
    """Seconds a call and what follows from them; the first call, which warms up, is told apart."""
    if stage.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    results = engine.paint(requests)
    first = time.perf_counter() - begin
    times: list[float] = []
    while (len(times) < MOST_CALLS and sum(times) < (0 if stage.small else LEAST_S)) or not times:
        begin = time.perf_counter()
        results = engine.paint(requests)
        times.append(time.perf_counter() - begin)
    seconds = statistics.median(times)
    found = {
        "images_per_s": round(len(requests) / seconds, 3),
        "seconds": round(seconds, 5),
        "calls": len(times),
        "first_call_s": round(first, 3),
        "rejected": sum(result.rejected is not None for result in results),
    }
    if stage.device.type == "cuda":
        found["peak_memory_mib"] = torch.cuda.max_memory_allocated() >> 20
    return found


def work_per_image(engine: Engine, requests: list[InpaintRequest], flops: dict[str, int], preset: str) -> float:
    """Floating-point operations an image, by how often the networks really ran: some schedulers skip a step."""
    kind = "tiny" if "vae" in PRESETS[preset] else "kl"
    cost = {"unet": flops["unet"], "encoder": flops[f"{kind}_encode"], "decoder": flops[f"{kind}_decode"]}
    done = dict.fromkeys(cost, 0.0)

    def count(name: str, inputs: tuple[Any, ...]) -> None:
        done[name] += cost[name] * len(inputs[0])

    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: count(name, inputs))
        for name, module in networks(engine).items()
    ]
    engine.paint(requests)
    for hook in hooks:
        hook.remove()
    return sum(done.values()) / len(requests)


def networks(engine: Engine) -> dict[str, torch.nn.Module]:
    """The parts that compute."""
    pipeline = engine._pipeline
    return {"unet": pipeline.unet, "encoder": pipeline.vae.encoder, "decoder": pipeline.vae.decoder}


def time_split(engine: Engine, requests: list[InpaintRequest], device: torch.device) -> dict[str, float]:
    """Seconds of one call inside each network, by the device's own clock, and the rest."""
    marks: dict[str, list[Any]] = {name: [] for name in networks(engine)}

    def now() -> Any:
        if device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(start: Any, end: Any) -> float:
        return end - start if device.type != "cuda" else start.elapsed_time(end) / 1e3

    hooks = []
    for name, module in networks(engine).items():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: marks[name].append(now())))
        hooks.append(module.register_forward_hook(lambda *_, name=name: marks[name].append(now())))
    begin = now()
    engine.paint(requests)
    end = now()
    if device.type == "cuda":
        torch.cuda.synchronize()
    for hook in hooks:
        hook.remove()
    found = {name: sum(map(seconds, times[::2], times[1::2])) for name, times in marks.items()}
    total = seconds(begin, end)
    return {name: round(value, 5) for name, value in {**found, "rest": total - sum(found.values())}.items()}


def neighbours(stage: Stage, report: Report) -> None:
    """Requests painted alone against the same requests beside others, with padding to one batch size and without."""
    count = min(BESIDE, stage.batches[-1])
    for reproducible in (True, False):
        where = ["neighbours", f"reproducible={reproducible}"]
        if time.time() > stage.until:
            report([*where, "stopped"], "not begun: no time left")
            continue
        with _engine(stage.spec("fast", max_batch_size=count, reproducible=reproducible)) as engine:
            requests = _requests(engine.size, count)
            # In the other order: another place in the batch, other neighbours.
            groups = {
                "alone": [result for request in requests for result in engine.paint([request])],
                "reversed": engine.paint(requests[::-1])[::-1],
            }
            together = engine.paint(requests)
            found: dict[str, Any] = {"batch": count}
            for name, others in groups.items():
                pairs = [
                    (a.image, b.image)
                    for a, b in zip(together, others, strict=True)
                    if a.image is not None and b.image is not None
                ]
                differences = [int(np.abs(a.astype(int) - b).max()) for a, b in pairs]
                found[name] = {
                    "images": len(pairs),
                    "unequal_images": sum(map(bool, differences)),
                    "largest_difference": max(differences, default=None),
                }
            report(where, found)


def peak(stage: Stage) -> float:
    """TFLOP/s of the largest plain matrix product that a network could hope for."""
    side, rounds = (512, 3) if stage.small else (8192, 20)
    a, b = (torch.randn(side, side, device=stage.device, dtype=_dtype(stage)) for _ in range(2))
    for _ in range(3):
        a @ b
    _wait(stage.device)
    begin = time.perf_counter()
    for _ in range(rounds):
        a @ b
    _wait(stage.device)
    return round(2 * side**3 * rounds / (time.perf_counter() - begin) / 1e12, 4)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _dtype(stage: Stage) -> torch.dtype:
    return torch.float32 if stage.small else torch.float16


def _requests(size: int, count: int) -> list[InpaintRequest]:
    return [crop(size, seed) for seed in range(count)]


def _timed(report: Report, name: str, run: Callable[[], None]) -> None:
    begin = time.perf_counter()
    run()
    report([name], round(time.perf_counter() - begin, 2))


def _guarded(report: Report, where: list[str], job: Callable[[], None]) -> None:
    """Run a job; its error is a result too, and the next job runs."""
    try:
        job()
    except Exception as error:  # whatever a compiler, a driver or a model raises
        report([*where, "error"], f"{type(error).__name__}: {error}"[:1000])
    _free()


@contextlib.contextmanager
def _engine(spec: ModelSpec) -> Iterator[Engine]:
    engine = Engine(spec)
    try:
        yield engine
    finally:
        engine.close()
        _free()


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _reporting(connection: Connection) -> Iterator[Report]:
    """Send results as they come; the closed connection tells the end of the stage."""

    def report(where: Sequence[str], value: Any) -> None:
        connection.send((list(where), value))

    with connection:
        yield report
