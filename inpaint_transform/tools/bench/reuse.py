"""The third way: loaders around a transform that uses again what was painted before."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from inpaint_transform.serving.registry import shutdown
from inpaint_transform.tools import paint_ahead as ahead
from inpaint_transform.tools.bench.measure import Result, measure_loader, transform_of, warm_up
from inpaint_transform.tools.bench.samples import Picture
from inpaint_transform.tools.bench.settings import Settings

# Enough to be read from disk as a training's are, and painted in a minute or two.
MAX_PICTURES = 8


def measure_reuse(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """Loaders whose looks are all painted: what training sees once its pool is full.

    Raises:
        ValueError, OSError, InpaintError: The model does not load or does not paint.
    """
    shared = any(settings.workers)
    spec = dataclasses.replace(settings.model, serving="shared" if shared else "local")
    pictures = pictures[:MAX_PICTURES]
    try:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "pool"
            begun = warm_up(settings, spec, pictures)
            filled = ahead.with_pool(transform_of(settings, spec), path, 1)
            ahead.paint_ahead(filled, map(_sample, pictures))
            frozen = {"path": str(path), "variants": 1, "frozen": True}
            for workers in settings.workers:
                if (workers > 0) == shared:
                    for p in settings.p:
                        if p > 0:
                            yield "reuse", measure_loader(settings, spec, workers, p, False, pictures, begun, frozen)
    finally:
        if shared:
            shutdown()


def _sample(picture: Picture) -> ahead.Sample:
    loaded = picture.load()
    return ahead.Sample(loaded["image"], loaded["bboxes"], loaded["labels"])
