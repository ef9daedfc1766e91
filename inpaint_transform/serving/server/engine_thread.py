"""The server's second thread: it owns the engine, so that a long call never keeps the first from its clients."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.engines import PaintingEngine, load_engine

logger = logging.getLogger(__name__)


class EngineThread(threading.Thread):
    """Loads the engine and runs batch after batch; the only thread that touches it.

    Args:
        spec: What to load.
        report: The function that is called in this thread with what happened: once with ``{"size"}`` or the error that
            kept the model from loading, then with a list of one answer a request for every batch.
    """

    def __init__(self, spec: ModelSpec, report: Callable[[Any], None]) -> None:
        super().__init__(name="engine", daemon=True)
        self._spec = spec
        self._report = report
        self._batches: queue.SimpleQueue[list[InpaintRequest] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """What the thread does."""
        try:
            engine = load_engine(self._spec)
            ready = {"size": int(engine.size)}
        except BaseException as error:
            logger.exception("the model does not load")
            self._report(InpaintError(f"the model does not load: {type(error).__name__}: {error}"))
            return
        self._report(ready)
        while (batch := self._batches.get()) is not None:
            answers = paint_batch(engine, batch)
            for failure in dict.fromkeys(answer for answer in answers if isinstance(answer, Exception)):
                logger.error("the engine failed on a batch of %d", len(batch), exc_info=failure)
            self._report(answers)
        engine.close()

    def submit(self, batch: list[InpaintRequest]) -> None:
        """Hand over the next batch; the last one must be done."""
        self._batches.put(batch)

    def stop(self) -> None:
        """End after the batch that runs."""
        self._batches.put(None)


def loses_context(error: object) -> bool:
    """Whether after this error every further call fails: the CUDA context is lost, and only a new process gets one."""
    return isinstance(error, Exception) and "CUDA error" in str(error)


def paint_batch(engine: PaintingEngine, batch: list[InpaintRequest]) -> list[InpaintResult | Exception]:
    """Paint a batch: one answer a request. Where the engine fails on several, each is tried alone."""
    try:
        results = engine.paint(batch)
        if len(results) != len(batch):
            raise InpaintError(f"the engine gave {len(results)} results for {len(batch)} requests")
    except Exception as error:
        if len(batch) > 1 and not loses_context(error):
            # Whose request it was, nobody said, and the others must not suffer for it.
            return [answer for request in batch for answer in paint_batch(engine, [request])]
        return [error] * len(batch)
    return list(results)
