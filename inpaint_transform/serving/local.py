"""The local inpainter: the engine in this process, loaded at the first use, one thread at a time."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.errors import InpaintError, of_loading
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult, share_key
from inpaint_transform.serving.engines import PaintingEngine, load_engine, memory_bytes
from inpaint_transform.serving.forks import call_after_fork, is_forked
from inpaint_transform.serving.isolation import isolated
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.serving.placement import resolve_device
from inpaint_transform.serving.pool.raw import keep_raw
from inpaint_transform.serving.server.background import BackgroundQueue
from inpaint_transform.serving.server.batching import Batcher
from inpaint_transform.serving.server.counters import Counters
from inpaint_transform.serving.server.engine_thread import paint_batch

logger = logging.getLogger(__name__)

# A model that did not load this often is not tried again: with on_error="skip" every image would wait for it.
MAX_LOADS = 3
# How soon to look again whether somebody still waits.
_POLL_S = 0.01
# How long the end of a process may wait for a batch or a model in another thread.
END_S = 60.0


@dataclass(eq=False)
class _Call:
    """One thread's requests, and in the end what became of them."""

    requests: Sequence[InpaintRequest]
    answers: list[InpaintResult | Exception | None]

    def missing(self) -> bool:
        """Whether a request has no answer yet."""
        return any(answer is None for answer in self.answers)

    def results(self) -> list[InpaintResult]:
        """What was painted.

        Raises:
            Exception: The first request that failed, failed with it.
        """
        for answer in self.answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in self.answers if isinstance(answer, InpaintResult)]


def _end(ending: threading.Event, lock: threading.Lock) -> None:
    """Begin nothing more in other threads, and return when what runs is done."""
    ending.set()
    if lock.acquire(timeout=END_S):
        lock.release()


@dataclass(frozen=True, eq=False)
class _Wish:
    """One request that nobody waits for, and where its result goes."""

    request: InpaintRequest
    name: bytes
    destination: Destination


class LocalInpainter:
    """Paints in this process.

    A forked child loads an engine of its own: its parent's may have been copied in the middle of a call, and cannot
    work at all where it is on CUDA. The engine names the mends for the latter.

    Args:
        spec: The model that paints.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec.resolved()
        self._listener = Listener(self._spec)
        self._start_empty()
        call_after_fork(self, LocalInpainter._start_empty)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._ending = threading.Event()
        # A thread that comes back from torch while the interpreter ends takes the whole process down with an abort.
        weakref.finalize(self, _end, self._ending, self._lock)
        self._queue_lock = threading.Lock()
        # Nobody waits for a fuller batch: whichever thread gets the engine paints what has come by then.
        self._batcher: Batcher[tuple[_Call, int]] = Batcher(self._spec.max_batch_size, 0.0)
        self._engine: PaintingEngine | None = None
        self._failures: list[str] = []
        self._size: int | None = None
        self._counters = Counters()
        self._background_counters = Counters()
        share = self._spec.device_share or 1.0
        self._background: BackgroundQueue[_Wish] = BackgroundQueue(self._spec.max_batch_size, share)
        self._wishes = threading.Condition(self._queue_lock)
        self._thread: threading.Thread | None = None

    def _load(self) -> PaintingEngine:
        if len(self._failures) >= MAX_LOADS:
            raise InpaintError(self._failures[-1])
        if self._engine is None:
            if self._ending.is_set():
                raise InpaintError("the process is ending")
            if is_forked():
                import torch

                # The threads of the parent's OpenMP did not come along, and the child would wait for them for ever;
                # DataLoader workers have one thread for the same reason.
                torch.set_num_threads(1)
            with isolated():
                try:
                    self._engine = load_engine(self._spec)
                except Exception as error:
                    self._failures.append(str(of_loading(error)))
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
        """Paint every request, in batches of what may share a pipeline call.

        Calls that come while the engine is busy queue up together, and whichever of them gets the engine next takes
        along what fits into its batches.

        Raises:
            ValueError: A request is not valid.
            InpaintError: The model does not load, or fails.
        """
        self._listener.hear(request.prompt for request in requests)
        call = _Call(requests, [None] * len(requests))
        thread, now = threading.get_ident(), time.monotonic()
        with self._queue_lock:
            for index, request in enumerate(requests):
                key = share_key(request, self._spec.steps)
                self._batcher.add((call, index), key, thread, now)
        try:
            while call.missing():
                with self._lock:
                    if call.missing():
                        self._paint_batch()
        finally:
            # After an error, or Ctrl-C, nobody waits for the rest of this call.
            with self._queue_lock:
                self._batcher.drop(lambda item: item[0] is call, time.monotonic())
                self._batcher.forget(thread)
        return call.results()

    def _paint_batch(self) -> None:
        """Paint the next batch of the queue, whoever asked for it."""
        engine = self._load()
        begun = time.monotonic()
        with self._queue_lock:
            taken = self._batcher.take(begun)
        try:
            with isolated():
                answers = paint_batch(engine, [call.requests[index] for (call, index), _ in taken])
        except BaseException:  # Ctrl-C in this thread is not the others' answer
            with self._queue_lock:
                self._batcher.put_back(time.monotonic())
            raise
        finished = time.monotonic()
        for ((call, index), _), answer in zip(taken, answers, strict=True):
            call.answers[index] = answer
        results = [answer for answer in answers if isinstance(answer, InpaintResult)]
        self._counters.count_batch(results, len(taken), sum(waited for _, waited in taken), finished - begun)
        with self._queue_lock:
            self._batcher.finish(finished)

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """Have requests painted in a thread of this process when nobody waits; for how many seconds it is busy."""
        self._listener.hear(request.prompt for request in requests)
        with self._wishes:
            for request, name in zip(requests, names, strict=True):
                wish = _Wish(request, name, destination)
                self._background.add(wish, share_key(request, self._spec.steps), name, request.nbytes)
            if self._thread is None:
                self._thread = threading.Thread(target=self._paint_wishes, name="inpaint-wishes", daemon=True)
                self._thread.start()
            self._wishes.notify_all()
            return self._background.ahead()

    def _paint_wishes(self) -> None:
        """What the thread does; it ends with the process, and what is queued then goes too."""
        while True:
            with self._wishes:
                began = time.monotonic()
                wishes = self._background.take(began) if not len(self._batcher) else []
                if not wishes:
                    wake = self._background.wake_at()
                    self._wishes.wait(None if wake is None else max(wake - began, _POLL_S))
                    continue
            with self._lock:
                if self._ending.is_set():
                    return
                busy = time.monotonic()
                try:
                    answers = paint_batch(self._load(), [wish.request for wish in wishes])
                except InpaintError as error:
                    answers = [error] * len(wishes)
            finished = time.monotonic()
            results = [answer for answer in answers if isinstance(answer, InpaintResult)]
            self._background_counters.count_batch(results, len(wishes), 0.0, finished - busy)
            for wish, answer in zip(wishes, answers, strict=True):
                if isinstance(answer, InpaintResult):
                    keep_raw(wish.destination, [wish.name], [answer])
                else:
                    logger.error("painting in the background failed", exc_info=answer)
            with self._wishes:
                self._background.finish(began, finished)

    def stats(self) -> dict[str, Any]:
        """What this process painted."""
        return {
            "model": self._spec.id,
            "device": resolve_device(self._spec.device),
            "max_batch_size": self._spec.max_batch_size,
            **self._counters.snapshot(),
            "background": {
                "queued": len(self._background),
                "dropped": self._background.dropped,
                **self._background_counters.snapshot(),
            },
            **memory_bytes(),
        }

    def close(self) -> None:
        """Free the model; the next use loads it again."""
        with self._lock:
            self._failures = []
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()
