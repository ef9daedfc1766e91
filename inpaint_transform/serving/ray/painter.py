"""A painter: the engine and the batcher of a server, as a Ray actor that the servers of several nodes ask.

Everything but the engine's own thread happens in the actor's event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import platform
import time
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult, share_key
from inpaint_transform.serving.engines import memory_bytes
from inpaint_transform.serving.placement import portable, resolve_device
from inpaint_transform.serving.ray import messages
from inpaint_transform.serving.ray.messages import Message
from inpaint_transform.serving.server.batching import Batcher
from inpaint_transform.serving.server.counters import Counters
from inpaint_transform.serving.server.engine_thread import EngineThread, Painted, loses_context
from inpaint_transform.serving.transport.wire import WireError

logger = logging.getLogger(__name__)

# A server that has not been heard for this many seconds has gone: what it queued is not painted. Five of its greetings.
GONE_S = 5.0
# How often to look for such servers and for an engine call that hangs.
TICK_S = 0.5


@dataclass(eq=False)
class _Job:
    """One request on its way through the batcher."""

    request: InpaintRequest
    server: str
    timeout: float
    answer: asyncio.Future[InpaintResult | Exception | None]


class Painter:
    """Paints for whoever sends requests; its methods take and give JSON text and arrays only.

    Args:
        spec: JSON text of the fields of the spec to paint with.
    """

    def __init__(self, spec: str) -> None:
        self._spec = ModelSpec.of(messages.load(spec)).resolved()
        self._device = resolve_device(self._spec.device)
        self._batcher: Batcher[_Job] = Batcher(self._spec.max_batch_size, self._spec.max_wait_ms / 1e3)
        self._running: list[_Job] = []
        self._waited = 0.0
        self._calls = 0
        self._busy_since = 0.0
        self._wake: asyncio.TimerHandle | None = None
        self._heard: dict[str, float] = {}
        self._dropped = 0
        self._draining = False
        self._ready: dict[str, Any] | None = None
        self._failure: str | None = None
        self._counters = Counters()
        self._loop = asyncio.get_event_loop()
        self._loaded = asyncio.Event()
        self._engine = EngineThread(self._spec, self._hand_over)
        self._engine.start()
        self._loop.call_later(TICK_S, self._look)

    async def ready(self) -> str:
        """What ``greet`` answers, once the model is loaded or has failed to."""
        await self._loaded.wait()
        return await self.greet("")

    async def greet(self, server: str) -> str:
        """How this painter is, as JSON text.

        Args:
            server: Name of the server that says so that it lives; empty for somebody who only looks.
        """
        if server:
            self._heard[server] = time.monotonic()
        return json.dumps(
            {
                "node": platform.node(),
                "device": self._device,
                "ready": self._ready is not None,
                "error": self._failure,
                "draining": self._draining,
                "queued": len(self._batcher),
                "running": len(self._running),
                "dropped": self._dropped,
                "servers": len(self._heard),
                "pid": os.getpid(),
                "tokens": os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
                "max_batch_size": self._spec.max_batch_size,
                "paints": portable(self._spec),
                **(self._ready or {}),
                **self._counters.snapshot(),
                **memory_bytes(),
            }
        )

    async def paint(self, server: str, text: str, pixels: Any, alone: bool = False) -> Message:
        """Paint the requests of a message; an answer to each, whichever batches they went in.

        Args:
            server: Name of the server that asks.
            text: The message's text.
            pixels: The message's arrays.
            alone: Whether no others may share their batches.
        """
        self._heard[server] = time.monotonic()
        try:
            requests, timeout = messages.unpack_requests((text, pixels))
        except WireError as error:
            return json.dumps({"refused": str(error)}), []
        await self._loaded.wait()
        if self._failure is not None or self._draining:
            return json.dumps({"elsewhere": self._failure or "it is being removed"}), []
        now = time.monotonic()
        jobs = [_Job(request, server, timeout, self._loop.create_future()) for request in requests]
        self._calls += 1
        for job in jobs:
            key = share_key(job.request, self._spec.steps)
            self._batcher.add(job, (key, self._calls) if alone else key, server, now)
        self._start_batch()
        answers = [await job.answer for job in jobs]
        painted = [answer for answer in answers if answer is not None]
        if len(painted) < len(answers):
            return json.dumps({"elsewhere": "it had not heard of this server for long"}), []
        return messages.pack_answers(painted)

    async def drain(self) -> None:
        """Take nothing more; return when everything that came before is answered."""
        self._draining = True
        while self._running or len(self._batcher):
            await asyncio.sleep(0.05)
        # The last answers are on their way when their futures are set.
        await asyncio.sleep(0.2)

    def _hand_over(self, news: Any) -> None:
        """From the engine's thread to the event loop."""
        self._loop.call_soon_threadsafe(self._learn, news)

    def _learn(self, news: Any) -> None:
        """What the engine's thread tells."""
        if isinstance(news, Painted):
            self._finish_batch(news.answers)
            return
        if isinstance(news, Exception):
            self._failure = str(news)
        else:
            self._ready = news
        self._loaded.set()

    def _start_batch(self) -> None:
        now = time.monotonic()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        taken = self._batcher.take(now)
        if taken:
            self._running = [job for job, _ in taken]
            self._waited = sum(waited for _, waited in taken)
            self._busy_since = now
            self._engine.submit([job.request for job in self._running])
        elif (wake := self._batcher.wake_at(now)) is not None:
            self._wake = self._loop.call_later(max(wake - now, 0.0), self._start_batch)

    def _finish_batch(self, answers: list[InpaintResult | Exception]) -> None:
        if any(map(loses_context, answers)):
            # Only a new process gets another context. Ray starts one, and the servers ask another painter meanwhile.
            logger.error("the CUDA context is lost; the painter starts anew")
            os._exit(1)
        jobs, self._running = self._running, []
        now = time.monotonic()
        results = [answer for answer in answers if isinstance(answer, InpaintResult)]
        self._counters.count_batch(results, len(jobs), self._waited, now - self._busy_since)
        self._busy_since = 0.0
        self._batcher.finish(now)
        self._start_batch()
        for job, answer in zip(jobs, answers, strict=True):
            if not job.answer.done():
                job.answer.set_result(answer)

    def _look(self) -> None:
        """What is due by the clock."""
        self._loop.call_later(TICK_S, self._look)
        now = time.monotonic()
        if self._busy_since and now - self._busy_since > max(job.timeout for job in self._running):
            logger.error("an engine call hangs; the painter starts anew")
            faulthandler.dump_traceback(all_threads=True)
            os._exit(1)
        for server in [server for server, heard in self._heard.items() if now - heard > GONE_S]:
            self._forget(server, now)

    def _forget(self, server: str, now: float) -> None:
        """A server has gone: nobody waits for what it queued."""
        del self._heard[server]
        orphans: set[_Job] = set()

        def is_orphan(job: _Job) -> bool:
            if job.server == server:
                orphans.add(job)
            return job in orphans

        self._batcher.drop(is_orphan, now)
        self._batcher.forget(server)
        self._dropped += len(orphans)
        for job in orphans:
            job.answer.set_result(None)
        self._start_batch()
