"""The server's second thread: it owns the engine, so that a long call never keeps the first from its clients."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.errors import InpaintError, of_engine, of_loading
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.engines import EngineLostError, PaintingEngine, load_engine

logger = logging.getLogger(__name__)

# Batches that an engine with slots is given at once; its threads only wait.
MAX_SLOTS = 256


@dataclass(frozen=True, eq=False)
class Painted:
    """What became of a batch.

    Attributes:
        batch: The very list that was submitted.
        answers: One for each of its requests.
    """

    batch: list[InpaintRequest]
    answers: list[InpaintResult | Exception]


class EngineThread(threading.Thread):
    """Loads the engine and runs batch after batch.

    Args:
        spec: What to load.
        report: The function that is called in this thread with what happened: once with ``{"size"}`` or the error that
            kept the model from loading, then with ``Painted`` for every batch.
    """

    def __init__(self, spec: ModelSpec, report: Callable[[Any], None]) -> None:
        super().__init__(name="engine", daemon=True)
        self._spec = spec
        self._report = report
        self._engine: PaintingEngine | None = None
        self._batches: queue.SimpleQueue[list[InpaintRequest] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """What the thread does."""
        try:
            engine = self._engine = load_engine(self._spec)
            ready = {"size": int(engine.size)}
        except BaseException as error:
            if isinstance(error, InpaintError):
                logger.error("%s", error)
            else:
                logger.exception("the model does not load")
            self._report(of_loading(error))
            return
        self._report(ready)
        # An engine without slots is touched by this thread only.
        threads = ThreadPoolExecutor(MAX_SLOTS, "painting") if hasattr(engine, "slots") else None
        while (batch := self._batches.get()) is not None:
            if threads is None:
                self._paint(engine, batch)
            else:
                threads.submit(self._paint, engine, batch)
        engine.close()

    def _paint(self, engine: PaintingEngine, batch: list[InpaintRequest]) -> None:
        answers = paint_batch(engine, batch)
        for failure in dict.fromkeys(answer for answer in answers if isinstance(answer, Exception)):
            logger.error("the engine failed on a batch of %d", len(batch), exc_info=failure)
        self._report(Painted(batch, answers))

    @property
    def slots(self) -> int:
        """How many batches it takes at once now."""
        return min(getattr(self._engine, "slots", 1), MAX_SLOTS)

    def stats(self) -> dict[str, Any]:
        """What the engine has to say of itself."""
        counters: Callable[[], dict[str, Any]] = getattr(self._engine, "stats", dict)
        return counters()

    def submit(self, batch: list[InpaintRequest]) -> None:
        """Hand over the next batch; fewer than ``slots`` are running."""
        self._batches.put(batch)

    def stop(self) -> None:
        """End after the batch that runs."""
        self._batches.put(None)


def loses_context(error: object) -> bool:
    """Whether after this error every further call fails, as when the CUDA context is lost: a new process is needed."""
    return isinstance(error, EngineLostError) or (isinstance(error, Exception) and "CUDA error" in str(error))


def paint_batch(engine: PaintingEngine, batch: list[InpaintRequest]) -> list[InpaintResult | Exception]:
    """Paint a batch: one answer a request. Where the engine fails on several, each is tried alone.

    Returns:
        For each request its result, or a ``ValueError`` where the request is wrong and an ``InpaintError`` otherwise.
    """
    try:
        results = engine.paint(batch)
        if len(results) != len(batch):
            raise InpaintError(f"the engine gave {len(results)} results for {len(batch)} requests")
    except Exception as error:
        if len(batch) > 1 and not loses_context(error):
            # Whose request it was, nobody said, and the others must not suffer for it.
            return [answer for request in batch for answer in paint_batch(engine, [request])]
        return [of_engine(error)] * len(batch)
    return list(results)
