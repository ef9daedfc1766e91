"""The measurements: the bare pipeline, the transform alone, and DataLoaders around it.

Each yields plain results as they are done, and runs in a process of its own: see ``fresh.in_fresh_process``. A loader
without workers paints in its own process, one with workers through the shared server. All rates are per second,
latencies in milliseconds, memory in MiB.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
from torch.utils.data import DataLoader

from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.faces.albumentations import BBoxInpaint
from inpaint_transform.faces.worker_batch import ConcurrentDataset
from inpaint_transform.serving.engines import load_engine, memory_bytes
from inpaint_transform.serving.placement import resolve_device
from inpaint_transform.serving.registry import connect, shutdown
from inpaint_transform.tools.bench.fresh import in_fresh_process
from inpaint_transform.tools.bench.memory import pss_mib
from inpaint_transform.tools.bench.samples import Picture, Timed, requests_of
from inpaint_transform.tools.bench.settings import BATCHES, PATIENCE, Case, Settings

Result = dict[str, Any]


def measure(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """Measure everything; each result with its section: ``model``, ``bare``, ``transform``, ``loader`` or ``reuse``.

    Raises:
        ValueError, OSError, InpaintError: The model does not load or does not paint.
    """
    yield from in_fresh_process(measure_bare, settings, pictures)
    yield from in_fresh_process(measure_in_process, settings, pictures)
    if settings.shared:
        yield from in_fresh_process(measure_shared, settings, pictures)
    from inpaint_transform.tools.bench.reuse import measure_reuse  # which measures loaders with what is here

    yield from in_fresh_process(measure_reuse, settings, pictures)


def measure_bare(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """The resident pipeline alone: working crops that lie ready, no transform, no loader."""
    spec = settings.model.resolved()
    engine = load_engine(dataclasses.replace(spec, max_batch_size=max(BATCHES)))
    recipe = transform_of(settings, settings.model).editor.recipe
    requests = requests_of(pictures, engine.size, max(BATCHES), recipe)
    engine.paint(requests[:1])
    start = time.perf_counter()
    engine.paint(requests[:1])
    first = {"paint_s": _rounded(time.perf_counter() - start)}
    yield "model", {**_model(settings.model), "size": engine.size, **first, **_memory_of(memory_bytes())}
    for batch in BATCHES:
        engine.paint(requests[:batch])  # the first call at a size is slow
        times: list[float] = []
        while len(times) < 2 or sum(times) < settings.seconds:
            start = time.perf_counter()
            engine.paint(requests[:batch])
            times.append(time.perf_counter() - start)
        yield "bare", {"batch": batch, "images_per_s": _rounded(batch * len(times) / sum(times)), **_latency(times)}


def measure_in_process(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """The transform that always fires, called alone; then loaders without workers, if they are asked for."""
    spec = dataclasses.replace(settings.model, serving="local")
    begun = warm_up(settings, spec, pictures)
    sample = _timed(pictures, transform_of(settings, spec))
    times: list[float] = []
    for index in itertools.count():
        times.append(sample[index][1])
        if sum(times) >= settings.seconds and len(times) >= 3:
            break
    yield (
        "transform",
        {
            "images_per_s": _rounded(len(times) / sum(times)),
            "painted_per_s": _rounded(sample.counted()["accepted"] / sum(times)),
            **_latency(times),
        },
    )
    for case in settings.loaders(shared=False):
        yield "loader", measure_loader(settings, spec, case, pictures, begun)


def measure_shared(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """Loaders whose workers share one server."""
    spec = dataclasses.replace(settings.model, serving="shared")
    try:
        begun = warm_up(settings, spec, pictures)
        for case in settings.loaders(shared=True):
            yield "loader", measure_loader(settings, spec, case, pictures, begun)
    finally:
        shutdown()


def transform_of(
    settings: Settings, spec: ModelSpec, p: float = 1.0, reuse: dict[str, Any] | None = None
) -> BBoxInpaint:
    """The transform that is measured."""
    return BBoxInpaint(**{**settings.arguments, "model": spec, "p": p, "reuse": reuse})


def warm_up(settings: Settings, spec: ModelSpec, pictures: Sequence[Picture]) -> float:
    """Load the model and paint once, for the first call is slow; when the engine's counters began."""
    inpainter = connect(spec)
    recipe = transform_of(settings, spec).editor.recipe
    requests = requests_of(pictures, inpainter.size, spec.resolved().max_batch_size, recipe)
    begun = time.perf_counter()
    inpainter.paint(requests)
    return begun


def measure_loader(
    settings: Settings,
    spec: ModelSpec,
    case: Case,
    pictures: Sequence[Picture],
    begun: float,
    reuse: dict[str, Any] | None = None,
) -> Result:
    """One DataLoader, from the end of its warm-up until it has run long enough."""
    workers = case.workers
    timed = _timed(pictures, transform_of(settings, spec, case.p, reuse))
    loader = DataLoader(
        ConcurrentDataset(timed) if case.concurrent else timed,
        batch_size=settings.batch_size,
        num_workers=workers,
        collate_fn=timed.collate,
    )
    inpainter = connect(spec)
    batches = iter(loader)
    for _ in range(max(workers, 1)):
        next(batches)  # every worker has started and has delivered once
    before, start = inpainter.stats(), time.perf_counter()
    images, fired, counts = 0, [], Counter[str]()
    for number in itertools.count(1):
        _, seconds, painted, counted = next(batches)
        images += len(seconds)
        fired += [taken for taken, hit in zip(seconds, painted, strict=True) if hit]
        counts += counted
        elapsed = time.perf_counter() - start
        enough = number >= 2 * max(workers, 1)
        if elapsed >= settings.seconds * (1 if enough else PATIENCE):
            break
    after = inpainter.stats()
    children = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    host = pss_mib([os.getpid(), *children, int(after.get("pid", os.getpid()))])
    del batches
    gc.collect()  # ends the workers now
    return {
        **dataclasses.asdict(case),
        "images": images,
        "images_per_s": _rounded(images / elapsed),
        "painted": len(fired),
        # Boxes that were painted or taken from a pool, in how many of them it is seen, and what the model did for them.
        "edits": counts["edits"] - counts["cold"],
        "accepted": counts["accepted"],
        "painted_per_s": _rounded(counts["accepted"] / elapsed),
        "attempts_per_s": _rounded(counts["attempts"] / elapsed),
        **_latency(fired),
        **_use(before, after, start - begun, elapsed),
        **_memory_of(after),
        "host_pss_mib": host,
    }


def _timed(pictures: Sequence[Picture], inpaint: BBoxInpaint) -> Timed:
    boxes = A.BboxParams(format="pascal_voc", label_fields=["labels"])
    return Timed(pictures, A.Compose([inpaint], bbox_params=boxes), inpaint.editor.tally.counts)


def _use(before: Result, after: Result, age: float, elapsed: float) -> Result:
    """How the pipeline was used between two snapshots of its counters, the first taken at ``age``."""
    requests, batches = (after[name] - before[name] for name in ("requests", "batches"))
    # The counters tell the share since they began.
    busy = after["busy_share"] * (age + elapsed) - before["busy_share"] * age
    return {
        "mean_batch": _rounded(requests / batches) if batches else None,
        "busy_share": _rounded(min(max(busy / elapsed, 0.0), 1.0)),
    }


def _latency(seconds: Sequence[float]) -> Result:
    """Median and 95th percentile; None without a single value."""
    if not seconds:
        return {"p50_ms": None, "p95_ms": None}
    return {f"p{share}_ms": _rounded(float(np.percentile(seconds, share)) * 1e3) for share in (50, 95)}


def _model(spec: ModelSpec) -> Result:
    """The model in a report; of a folder only its name."""
    name = spec.id if spec.id in PRESETS or not Path(spec.id).exists() else Path(spec.id).resolve().name
    spec = spec.resolved()
    found = {"id": name, "steps": spec.steps, "guidance_scale": spec.guidance_scale, "dtype": spec.dtype}
    return {**found, "device": resolve_device(spec.device), "max_batch_size": spec.max_batch_size}


def _memory_of(found: Result) -> Result:
    """Memory of the process that holds the model: its own, and on the CUDA device."""
    names = {"resident_bytes": "model_process_mib", "device_bytes": "model_device_mib"}
    return {new: _rounded(found[old] / 2**20) if old in found else None for old, new in names.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
