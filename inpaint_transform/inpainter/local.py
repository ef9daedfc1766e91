"""The local inpainter: the engine in this process, loaded at the first use, one thread at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from inpaint_transform.inpainter.engines import PaintingEngine, load_engine, memory_bytes
from inpaint_transform.inpainter.forks import call_after_fork
from inpaint_transform.inpainter.placement import resolve_device
from inpaint_transform.inpainter.statistics import Statistics
from inpaint_transform.messages import InpaintRequest, InpaintResult
from inpaint_transform.models import ModelSpec


class LocalInpainter:
    """Paints in this process.

    A forked child loads an engine of its own: its parent's may have been copied in the middle of a call, and cannot
    work at all where it is on CUDA. The engine names the mends for the latter.

    Args:
        spec: What to paint with.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec.resolved()
        self._start_empty()
        call_after_fork(self, LocalInpainter._start_empty)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._engine: PaintingEngine | None = None
        self._statistics = Statistics()

    def _load(self) -> PaintingEngine:
        if self._engine is None:
            self._engine = load_engine(self._spec)
        return self._engine

    @property
    def size(self) -> int:
        """Side of the working crop in pixels; the first question loads the model."""
        with self._lock:
            return self._load().size

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request; the engine makes batches of at most ``max_batch_size`` of them."""
        if not requests:
            return []
        asked = time.monotonic()
        with self._lock:
            engine = self._load()
            begun = time.monotonic()
            results: list[InpaintResult] = []
            try:
                results = engine.paint(requests)
            finally:
                waited = (begun - asked) * len(requests)
                self._statistics.count_batch(results, len(requests), waited, time.monotonic() - begun)
        return results

    def stats(self) -> dict[str, Any]:
        """What this process painted."""
        return {
            "model": self._spec.id,
            "device": resolve_device(self._spec.device),
            "max_batch_size": self._spec.max_batch_size,
            **self._statistics.snapshot(),
            **memory_bytes(),
        }

    def close(self) -> None:
        """Free the model; the next use loads it again."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()
