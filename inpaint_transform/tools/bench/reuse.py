"""The third way: loaders around a transform that uses again what was painted before."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from inpaint_transform.serving.registry import shutdown
from inpaint_transform.tools import paint_ahead as ahead
from inpaint_transform.tools.bench.measure import Result, measure_loader, transform_of, warm_up
from inpaint_transform.tools.bench.samples import Picture, few
from inpaint_transform.tools.bench.settings import MAX_POOLED, VARIANTS, Settings


def measure_reuse(settings: Settings, pictures: Sequence[Picture]) -> Iterator[tuple[str, Result]]:
    """Loaders whose looks are all painted: what training sees once its pool is full.

    Raises:
        ValueError, OSError, InpaintError: The model does not load or does not paint.
    """
    spec = dataclasses.replace(settings.model, serving="shared" if settings.shared else "local")
    transform = transform_of(settings, spec)
    pictures = few(pictures, transform.editor.recipe, MAX_POOLED) or pictures[:1]
    try:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "pool"
            begun = warm_up(settings, spec, pictures)
            ahead.paint_ahead(ahead.with_pool(transform, path, VARIANTS), map(_sample, pictures))
            frozen = {"path": str(path), "variants": VARIANTS, "frozen": True}
            for case in settings.pooled():
                yield "reuse", measure_loader(settings, spec, case, pictures, begun, frozen)
    finally:
        if settings.shared:
            shutdown()


def _sample(picture: Picture) -> ahead.Sample:
    loaded = picture.load()
    return ahead.Sample(loaded["image"], loaded["bboxes"], loaded["labels"])
