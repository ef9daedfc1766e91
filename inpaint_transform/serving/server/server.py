"""The shared server: one thread speaks to all clients, one thread runs the engine."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ResolvedSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult, share_key
from inpaint_transform.serving.engines import memory_bytes
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.serving.pool.keeper import flush_all
from inpaint_transform.serving.pool.raw import keep_raw
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.server.background import BackgroundQueue
from inpaint_transform.serving.server.batching import Batcher
from inpaint_transform.serving.server.calls import Batch, Call, Job
from inpaint_transform.serving.server.counters import Counters
from inpaint_transform.serving.server.engine_thread import EngineThread, Painted, loses_context
from inpaint_transform.serving.server.inbox import Inbox
from inpaint_transform.serving.server.lifetime import IdleWatch, OwnerWatch
from inpaint_transform.serving.server.peer import Peer
from inpaint_transform.serving.server_directory import ServerDirectory
from inpaint_transform.serving.transport import credentials, paint_frames, wire
from inpaint_transform.serving.transport.paint_frames import Later
from inpaint_transform.serving.transport.wire import Frame, Kind, WireError

logger = logging.getLogger(__name__)

# How often to look at what no descriptor tells: hung engine calls, silent strangers, the idle limit.
TICK_S = 0.25
# A server whose model does not load stays to tell every client of the same attempt, so that not each of them tries.
FAILED_LINGER_S = 5.0
# From this many batches on, their mean size says something about the training loop.
MIN_BATCHES = 50


class Server:
    """Serves one engine to the processes of one user.

    Args:
        directory: The directory of its socket.
        lock: The descriptor that ``directory.occupy`` gave.
        spec: The model that it serves.
        owner: The process whose end ends the server; None for no such process.
        idle_limit: Seconds without a request after which it ends; None for no limit.
        on_ready: The function that is called once the model is loaded.
    """

    def __init__(
        self,
        directory: ServerDirectory,
        lock: int,
        spec: ResolvedSpec,
        owner: Process | None,
        idle_limit: float | None,
        on_ready: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._on_ready = on_ready
        self._lock = lock
        self._spec = spec
        self._owner = OwnerWatch(owner)
        self._idle = IdleWatch(idle_limit)
        self._selector = selectors.DefaultSelector()
        self._unheard: socket.socket | None = None
        self._peers: set[Peer] = set()
        self._calls: dict[Peer, Call] = {}
        self._awaiting_ready: set[Peer] = set()
        self._batcher: Batcher[Job] = Batcher(spec.max_batch_size, spec.max_wait_ms / 1e3)
        self._background: BackgroundQueue[Job] = BackgroundQueue(spec.max_batch_size, spec.device_share or 1.0)
        self._running: list[Batch] = []
        self._counters = Counters()
        self._background_counters = Counters()
        self._ready: dict[str, Any] | None = None
        self._failure: Exception | None = None
        self._ends_at = float("inf")
        self._listener = Listener(spec)
        self._advice_given = False
        self._stopping = False
        self._inbox = Inbox()
        self._engine = EngineThread(spec, self._inbox.post)

    def stop(self, *_: object) -> None:
        """End soon; callable from a signal handler."""
        self._stopping = True
        self._inbox.wake()

    def at_home(self) -> bool:
        """Whether the directory still is this server's, and not removed or someone else's since."""
        return self._directory.is_locked_by(self._lock)

    def run(self) -> None:
        """Serve until the end of the owner, a stop, or the idle limit.

        Raises:
            InpaintError: The model did not load. Clients have been told for a while.
        """
        listener = self._listen()
        self._listen_on(listener)
        self._selector.register(self._inbox.socket, selectors.EVENT_READ, lambda _: self._read_inbox())
        if self._owner.descriptor is not None:
            self._selector.register(self._owner.descriptor, selectors.EVENT_READ, lambda _: self.stop())
        self._engine.start()
        next_tick = 0.0
        while not self._stopping:
            for key, events in self._selector.select(self._timeout()):
                key.data(events)
            self._start_batch()
            if time.monotonic() >= next_tick:
                self._tick()
                next_tick = time.monotonic() + TICK_S
        if self.at_home():
            # First of all out of sight, so that whoever comes now waits for the end and starts the next one.
            self._directory.socket.unlink(missing_ok=True)
        listener.close()
        for peer in list(self._peers):
            peer.close()
        self._owner.close()
        flush_all()  # what is painted is kept, and what is only queued goes with this process
        if not self._running:
            self._engine.stop()
            self._engine.join(1.0)
        if self._failure is not None:
            raise self._failure

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        # Bound under another name first: where the socket is seen, it listens.
        hidden = self._directory.unfinished_socket
        hidden.unlink(missing_ok=True)
        listener.bind(os.fspath(hidden))
        hidden.chmod(0o600)
        listener.listen(1024)
        self._directory.identity.write_text(str(Process.of(os.getpid())))
        hidden.rename(self._directory.socket)
        return listener

    def _listen_on(self, listener: socket.socket) -> None:
        self._selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener))

    def _timeout(self) -> float:
        if self._ready is None:
            return TICK_S
        now, slots = time.monotonic(), self._engine.slots
        wakes = [self._batcher.wake_at(now, slots), self._background.wake_at(slots)]
        return min([TICK_S, *(max(wake - now, 0.0) for wake in wakes if wake is not None)])

    def _tick(self) -> None:
        """What is due by the clock."""
        now = time.monotonic()
        for batch in self._running:
            if now - batch.since > batch.timeout:
                self._give_up(batch)
        for peer in [peer for peer in self._peers if peer.overdue(now)]:
            peer.close()
        if self._unheard is not None:
            self._listen_on(self._unheard)
            self._unheard = None
        if not self.at_home():  # nobody can reach this server any more, and the next one needs the device
            logger.error("%s is gone; the server ends", self._directory.path)
            self._stopping = True
        if self._owner.gone() or now > self._ends_at or (not self._running and self._idle.expired()):
            self._stopping = True

    def _give_up(self, batch: Batch) -> None:
        """The engine hangs, and a thread cannot be interrupted: this process has to end."""
        limit = batch.timeout
        logger.error("an engine call hangs for more than timeout_s=%g; the server ends", limit)
        error = InpaintError(f"the engine hangs: one call took more than timeout_s={limit:g}; the server was ended")
        # Whoever is only queued loses the connection and asks the next server.
        self._fail({job.call.peer for job, _ in batch.taken if job.call.peer is not None}, error)
        self._stopping = True

    def _fail(self, peers: Iterable[Peer], error: Exception) -> None:
        for peer in list(peers):
            self._calls.pop(peer, None)
            peer.answer(wire.pack_error(error, last=True))

    # Clients

    def _accept(self, listener: socket.socket) -> None:
        with suppress(ConnectionError, BlockingIOError):
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                # Until the next tick: it may have hung up on a silent stranger, and there would be no end of asking.
                self._selector.unregister(listener)
                self._unheard = listener
                return
            if credentials.peer_user(sock) != os.getuid():
                logger.warning("refused a process of another user")
                sock.close()
                return
            peer = Peer(sock, self._selector, self._handle, self._forget)
            if peer.open:  # it may have hung up already
                self._peers.add(peer)

    def _handle(self, peer: Peer, frame: Frame) -> None:
        if peer in self._calls:
            raise WireError("a request before the answer to the last one")
        if frame.kind is Kind.PAINT:
            self._queue(peer, frame)
        elif frame.kind is Kind.READY:
            self._awaiting_ready.add(peer)
            self._answer_ready(peer)
        elif frame.kind is Kind.STATS:
            peer.answer(wire.pack(Kind.STATS, self._stats()))
        elif frame.kind is Kind.SHUTDOWN:
            self._stopping = True
        else:
            raise WireError(f"{frame.kind.name} is not for a client to say")

    def _queue(self, peer: Peer, frame: Frame) -> None:
        """Queue the requests of a frame."""
        if frame.header.get("shared") and peer.memory is None:
            peer.answer(wire.pack(Kind.NOT_SHARED, {}))
            return
        requests, timeout = paint_frames.unpack_requests(frame, peer.memory)
        if self._failure is not None:
            peer.answer(wire.pack_error(self._failure, last=True))
            return
        now = time.monotonic()
        self._idle.touch()
        later = paint_frames.later_of(frame)
        if later is not None:
            self._queue_later(peer, requests, timeout, later)
            return
        call = self._calls[peer] = Call(peer, requests, timeout, [None] * len(requests), len(requests))
        for index, request in enumerate(requests):
            self._batcher.add(Job(call, index), share_key(request, self._spec.steps), peer.client, now)
        self._start_batch()

    def _queue_later(self, peer: Peer, requests: Sequence[InpaintRequest], timeout: float, later: Later) -> None:
        """Queue requests for which nobody waits."""
        for request, name in zip(requests, later.names, strict=True):
            # The client uses its memory again as soon as it has its answer.
            own = request.copy()
            call = Call(None, [own], timeout, [None], 1, later=Later((name,), later.destination))
            self._background.add(Job(call, 0), share_key(own, self._spec.steps), name, own.nbytes)
        peer.answer(wire.pack(Kind.QUEUED, {"ahead": self._background.ahead(self._engine.slots)}))
        self._start_batch()

    def _answer_ready(self, peer: Peer) -> None:
        """Answer a client that waits for the model, if there is an answer yet."""
        if peer not in self._awaiting_ready or (self._ready is None and self._failure is None):
            return
        self._awaiting_ready.discard(peer)
        if self._failure is not None:
            peer.answer(wire.pack_error(self._failure))
        else:
            peer.answer(wire.pack(Kind.READY, {**(self._ready or {}), "spec": self._spec.to_dict()}))

    def _stats(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "model": self._spec.id,
            "device": self._spec.device,
            "max_batch_size": self._spec.max_batch_size,
            "clients": len({peer.client for peer in self._peers if peer.client is not None}),
            "queued": len(self._batcher),
            **self._counters.snapshot(),
            "background": {
                "queued": len(self._background),
                "dropped": self._background.dropped,
                **self._background_counters.snapshot(),
            },
            **self._engine.stats(),
            **memory_bytes(),
        }

    def _forget(self, peer: Peer) -> None:
        """Forget what is queued for a client that has gone; what already runs, runs on."""
        self._peers.discard(peer)
        self._awaiting_ready.discard(peer)
        self._calls.pop(peer, None)
        self._batcher.drop(lambda job: job.call.peer is peer, time.monotonic())
        if peer.client is not None and all(other.client != peer.client for other in self._peers):
            self._batcher.forget(peer.client)

    # The engine

    def _start_batch(self) -> None:
        if self._ready is None:
            return
        now = time.monotonic()
        while taken := self._batcher.take(now, self._engine.slots) or self._take_background(now):
            batch = Batch(taken, [job.request for job, _ in taken], now)
            self._running.append(batch)
            self._engine.submit(batch.requests)

    def _take_background(self, now: float) -> list[tuple[Job, float]]:
        """What nobody waits for, if nobody waits."""
        if len(self._batcher) or len(self._running) >= self._engine.slots:
            return []
        waiting = sum(not batch.background for batch in self._running)
        return [(job, 0.0) for job in self._background.take(now, self._engine.slots - waiting)]

    def _read_inbox(self) -> None:
        """What the engine's thread reports."""
        for message in self._inbox.take_all():
            if isinstance(message, Painted):
                self._finish_batch(message)
            else:
                self._finish_loading(message)

    def _finish_loading(self, message: dict[str, Any] | Exception) -> None:
        if isinstance(message, Exception):
            self._failure = message
            self._ends_at = time.monotonic() + FAILED_LINGER_S
        else:
            self._ready = message
            logger.info("ready: %s", message)
            self._on_ready()
        self._idle.touch()
        for peer in list(self._peers):
            self._answer_ready(peer)
        if self._failure is not None:
            self._fail(self._calls, self._failure)
        self._start_batch()

    def _finish_batch(self, painted: Painted) -> None:
        batch = next(batch for batch in self._running if batch.requests is painted.batch)
        self._running.remove(batch)
        now = time.monotonic()
        results = [answer for answer in painted.answers if isinstance(answer, InpaintResult)]
        waited = sum(waited for _, waited in batch.taken)
        counters = self._background_counters if batch.background else self._counters
        counters.count_batch(results, len(batch.taken), waited, now - batch.since)
        self._idle.touch()
        if batch.background:
            self._background.finish(batch.since, now)
        else:
            self._batcher.finish(now, batch.taken)
        self._start_batch()  # before the answers go out, so that the device does not wait for them
        for (job, _), answer in zip(batch.taken, painted.answers, strict=True):
            call = job.call
            call.missing -= 1
            if isinstance(answer, Exception):
                call.error = answer
            else:
                call.results[job.index] = answer
            if call.later is not None and isinstance(answer, InpaintResult):
                keep_raw(call.later.destination, call.later.names, [answer])
            if call.peer is not None and not call.missing and self._calls.get(call.peer) is call:
                del self._calls[call.peer]
                call.peer.answer(self._reply(call))
        if any(map(loses_context, painted.answers)):
            logger.error("the engine is lost; the server ends")
            self._stopping = True

    def _reply(self, call: Call) -> list[memoryview]:
        if call.error is not None:
            return wire.pack_error(call.error, last=loses_context(call.error))
        results = [result for result in call.results if result is not None]
        try:
            memory = call.peer.memory if call.peer is not None else None
            advice = self._listener.advice(request.prompt for request in call.requests) or self._advice()
            return paint_frames.pack_results(results, advice, memory)
        except Exception as error:
            logger.exception("the engine's results cannot be sent")
            return wire.pack_error(InpaintError(f"the engine gave something else than results: {error}"))

    def _advice(self) -> str | None:
        """A warning about small batches, for one client, once."""
        if self._advice_given:
            return None
        limit = self._spec.max_batch_size
        batches, mean = self._counters.batches()
        if batches < MIN_BATCHES or mean >= limit / 4:
            return None
        self._advice_given = True
        return (
            f"the inpainting server got batches of {mean:.1f} on average where max_batch_size={limit} would fit: a"
            " transform that paints one image at a time fills at most as many places as there are workers. Use more"
            " DataLoader workers, or inpaint_transform.batch to paint a worker's whole mini-batch at once"
        )
