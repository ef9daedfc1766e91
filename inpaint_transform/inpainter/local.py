"""The local inpainter: the engine in this process, loaded at the first use, one thread at a time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inpaint_transform.errors import InpaintError
from inpaint_transform.inpainter.engines import PaintingEngine, load_engine, memory_bytes
from inpaint_transform.inpainter.forks import call_after_fork
from inpaint_transform.inpainter.placement import resolve_device
from inpaint_transform.inpainter.statistics import Statistics
from inpaint_transform.messages import InpaintRequest, InpaintResult
from inpaint_transform.models import ModelSpec

# A model that did not load this often is not tried again: with on_error="skip" every image would wait for it.
MAX_LOADS = 3


@dataclass(eq=False)
class _Call:
    """One thread's requests, and in the end what became of them."""

    requests: Sequence[InpaintRequest]
    asked: float
    answer: list[InpaintResult] | Exception | None = None


class LocalInpainter:
    """Paints in this process.

    A forked child loads an engine of its own: its parent's may have been copied in the middle of a call, and cannot
    work at all where it is on CUDA. The engine names the mends for the latter.

    Args:
        spec: What to paint with.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec.resolved()
        self._forked = False
        self._start_empty()
        call_after_fork(self, LocalInpainter._start_in_child)

    def _start_in_child(self) -> None:
        self._forked = True
        self._start_empty()

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Call] = []
        self._engine: PaintingEngine | None = None
        self._failures: list[str] = []
        self._size: int | None = None
        self._statistics = Statistics()

    def _load(self) -> PaintingEngine:
        if len(self._failures) >= MAX_LOADS:
            raise InpaintError(self._failures[-1])
        if self._engine is None:
            if self._forked:
                import torch

                # The threads of the parent's OpenMP did not come along, and the child would wait for them for ever;
                # DataLoader workers have one thread for the same reason.
                torch.set_num_threads(1)
            try:
                self._engine = load_engine(self._spec)
            except Exception as error:
                self._failures.append(f"the model does not load: {type(error).__name__}: {error}")
                raise InpaintError(self._failures[-1]) from error
        return self._engine

    @property
    def size(self) -> int:
        """Side of the working crop in pixels; the first question loads the model."""
        if self._size is None:
            with self._lock:
                self._size = int(self._load().size)
        # Without the lock from then on: whoever asks is about to paint, and should queue up beside the others.
        return self._size

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request; the engine makes batches of at most ``max_batch_size`` of them.

        Calls that come while the engine is busy wait together, and whichever of them gets the engine next paints for
        all of them.
        """
        if not requests:
            return []
        call = _Call(requests, time.monotonic())
        with self._queue_lock:
            self._queue.append(call)
        with self._lock:
            if call.answer is None:
                with self._queue_lock:
                    calls, self._queue = self._queue, []
                try:
                    self._paint_for(calls)
                except BaseException:  # Ctrl-C in this thread is not the others' answer
                    with self._queue_lock:
                        self._queue += [other for other in calls if other is not call and other.answer is None]
                    raise
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer or []

    def _paint_for(self, calls: list[_Call]) -> None:
        together = [request for call in calls for request in call.requests]
        begun = time.monotonic()
        results: list[InpaintResult] = []
        try:
            results = self._load().paint(together)
        except Exception as error:
            if len(calls) > 1:  # one of them is to blame; engines check before they paint, so asking again is cheap
                for call in calls:
                    self._paint_for([call])
                return
            calls[0].answer = error
        waited = sum((begun - call.asked) * len(call.requests) for call in calls)
        self._statistics.count_batch(results, len(together), waited, time.monotonic() - begun)
        rest = iter(results)
        for call in calls:
            if call.answer is None:
                call.answer = list(itertools.islice(rest, len(call.requests)))

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
            self._failures = []
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()
