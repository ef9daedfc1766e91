"""The shared server: one thread speaks to all clients, one thread runs the engine."""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inpaint_transform.errors import InpaintError
from inpaint_transform.inpainter import handshake, wire
from inpaint_transform.inpainter.batching import Batcher
from inpaint_transform.inpainter.directory import ServerDirectory
from inpaint_transform.inpainter.engine_thread import EngineThread
from inpaint_transform.inpainter.engines import memory_bytes
from inpaint_transform.inpainter.lifetime import IdleWatch, OwnerWatch
from inpaint_transform.inpainter.processes import Process
from inpaint_transform.inpainter.statistics import Statistics
from inpaint_transform.inpainter.wire import Frame, Kind, WireError
from inpaint_transform.messages import InpaintRequest, InpaintResult
from inpaint_transform.models import ModelSpec

logger = logging.getLogger(__name__)

# How often to look at what no descriptor tells: hung engine calls, silent strangers, the idle limit.
TICK_S = 0.25
HANDSHAKE_S = 10.0
# An hour without a request, and the model's memory is worth more than the next cold start.
IDLE_LIMIT_S = 3600.0
# A server whose model does not load stays to tell every client of the same attempt, so that not each of them tries.
FAILED_LINGER_S = 5.0
# From this many batches on, their mean size says something about the training loop.
ENOUGH_BATCHES = 50


@dataclass(eq=False)
class _Call:
    """One PAINT frame: its requests go to the device in whatever batches, its answer goes out whole."""

    connection: _Connection
    requests: list[InpaintRequest]
    timeout: float
    results: list[InpaintResult | None]
    missing: int
    error: Exception | None = None


@dataclass(eq=False)
class _Job:
    """One request on its way through the batcher."""

    call: _Call
    index: int

    @property
    def request(self) -> InpaintRequest:
        return self.call.requests[self.index]


@dataclass(eq=False)
class _Connection:
    """One client's socket and where it is in the conversation."""

    sock: socket.socket
    reader: wire.Reader
    nonce: str
    until: float
    client: int | None = None
    call: _Call | None = None
    wants_ready: bool = False
    outgoing: list[memoryview] = field(default_factory=list)
    open: bool = True


class Server:
    """Serves one engine to the processes of one user.

    Args:
        directory: Where it lives; occupied by the caller.
        spec: What to serve, resolved.
        owner: With whom it ends; None for nobody.
        idle_limit: Seconds without a request after which it ends; None for no limit.
    """

    def __init__(
        self, directory: ServerDirectory, spec: ModelSpec, owner: Process | None, idle_limit: float | None
    ) -> None:
        self._directory = directory
        self._secret = directory.secret.read_bytes()
        self._spec = spec
        self._owner = OwnerWatch(owner)
        self._idle = IdleWatch(idle_limit)
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._batcher: Batcher[_Job] = Batcher(spec.max_batch_size or 1, (spec.max_wait_ms or 0) / 1e3)
        self._running: list[_Job] = []
        self._waited = 0.0
        self._busy_since = 0.0
        self._statistics = Statistics()
        self._ready: dict[str, Any] | None = None
        self._failure: Exception | None = None
        self._ends_at = float("inf")
        self._advice_given = False
        self._stopping = False
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._engine = EngineThread(spec, self._tell)

    def _tell(self, news: Any) -> None:
        """From the engine's thread to the other one."""
        self._news.put(news)
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # a full socket rings already
            self._rope.send(b"!")

    def stop(self, *_: object) -> None:
        """End soon; callable from a signal handler."""
        self._stopping = True
        self._ring()

    def run(self, on_listening: Callable[[], None] = lambda: None) -> None:
        """Serve until the end of the owner, a stop, or the idle limit.

        Args:
            on_listening: Called once clients can connect; the model may still be loading.

        Raises:
            InpaintError: The model did not load. Clients have been told for a while.
        """
        listener = self._listen()
        self._selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener))
        self._selector.register(self._bell, selectors.EVENT_READ, lambda _: self._hear())
        if self._owner.descriptor is not None:
            self._selector.register(self._owner.descriptor, selectors.EVENT_READ, lambda _: self.stop())
        self._engine.start()
        on_listening()
        next_look = 0.0
        while not self._stopping:
            for key, events in self._selector.select(self._timeout()):
                key.data(events)
            self._start_batch()
            if time.monotonic() >= next_look:
                self._look()
                next_look = time.monotonic() + TICK_S
        # First of all out of sight, so that whoever comes now waits for the end and starts the next one.
        self._directory.socket.unlink(missing_ok=True)
        listener.close()
        for connection in list(self._connections):
            self._close(connection)
        self._owner.close()
        if self._busy_since == 0.0:
            self._engine.stop()
            self._engine.join(1.0)
        if self._failure is not None:
            raise self._failure

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        # Bound under another name first: where the socket is seen, it listens.
        hidden = self._directory.path / "s"
        hidden.unlink(missing_ok=True)
        listener.bind(os.fspath(hidden))
        hidden.chmod(0o600)
        listener.listen(1024)
        self._directory.identity.write_text(str(Process.of(os.getpid())))
        hidden.rename(self._directory.socket)
        return listener

    def _timeout(self) -> float:
        wake = self._batcher.wake_at(time.monotonic()) if self._ready is not None else None
        return TICK_S if wake is None else min(TICK_S, max(wake - time.monotonic(), 0.0))

    def _look(self) -> None:
        """What is due by the clock."""
        now = time.monotonic()
        if self._busy_since:
            limit = min(job.call.timeout for job in self._running)
            if now - self._busy_since > limit:
                self._give_up(limit)
        for connection in [found for found in self._connections if found.client is None and now > found.until]:
            self._close(connection)
        if self._owner.gone() or now > self._ends_at or (not self._running and self._idle.expired()):
            self._stopping = True

    def _give_up(self, limit: float) -> None:
        """The engine hangs, and a thread cannot be interrupted: this process has to end."""
        logger.error("an engine call hangs for more than timeout_s=%g; the server ends", limit)
        error = InpaintError(f"the engine hangs: one call took more than timeout_s={limit:g}; the server was ended")
        for connection in list(self._connections):
            if connection.call is not None:
                self._answer(connection, _error_frame(error))
        self._stopping = True

    # Clients

    def _accept(self, listener: socket.socket) -> None:
        # Out of descriptors: the next one is accepted when a silent stranger has been hung up on.
        with suppress(OSError):
            sock, _ = listener.accept()
            sock.setblocking(False)
            if not handshake.same_user(sock):
                logger.warning("refused a process of another user")
                sock.close()
                return
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, wire.SOCKET_BUFFER)
            reader = wire.Reader(sock, wire.MAX_HEADER_UNKNOWN, 0)
            connection = _Connection(sock, reader, handshake.nonce(), time.monotonic() + HANDSHAKE_S)
            self._connections.add(connection)
            self._selector.register(sock, selectors.EVENT_READ, lambda events: self._serve(connection, events))
            self._answer(connection, wire.pack(Kind.CHALLENGE, {"nonce": connection.nonce}))

    def _serve(self, connection: _Connection, events: int) -> None:
        """A client's socket is ready. Whatever it does wrong ends its own connection only."""
        if not connection.open:  # closed since, by what another socket brought
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._flush(connection)
            # One frame at a time, so that a client that never stops talking leaves the others their turn.
            elif (frame := connection.reader.read()) is not None:
                self._understand(connection, frame)
        except WireError as error:
            logger.warning("dropped a client: %s", error)
            self._refuse(connection, str(error))
        except OSError:
            self._close(connection)
        except Exception as error:
            logger.exception("dropped a client")
            self._refuse(connection, f"{type(error).__name__}: {error}")

    def _understand(self, connection: _Connection, frame: Frame) -> None:
        if connection.client is None:
            self._admit(connection, frame)
        elif connection.call is not None:
            raise WireError("a request before the answer to the last one")
        elif frame.kind is Kind.PAINT:
            self._take(connection, frame)
        elif frame.kind is Kind.READY:
            connection.wants_ready = True
            self._tell_ready(connection)
        elif frame.kind is Kind.STATS:
            self._answer(connection, wire.pack(Kind.STATS, self._stats()))
        elif frame.kind is Kind.SHUTDOWN:
            self._stopping = True
        else:
            raise WireError(f"{frame.kind.name} is not for a client to say")

    def _admit(self, connection: _Connection, frame: Frame) -> None:
        said = frame.header
        client_nonce, pid = said.get("nonce"), said.get("pid")
        if frame.kind is not Kind.PROOF or not isinstance(client_nonce, str) or type(pid) is not int:
            raise WireError("no handshake")
        if not handshake.proves(
            said.get("proof"), handshake.proof(self._secret, "client", connection.nonce, client_nonce)
        ):
            raise WireError("wrong secret")
        connection.client = pid
        connection.reader.max_header = wire.MAX_HEADER
        connection.reader.max_payload = wire.MAX_PAYLOAD
        mine = handshake.proof(self._secret, "server", connection.nonce, client_nonce)
        self._answer(connection, wire.pack(Kind.WELCOME, {"proof": mine, "pid": os.getpid()}))

    def _take(self, connection: _Connection, frame: Frame) -> None:
        """Queue the requests of a frame."""
        requests, timeout = wire.unpack_requests(frame)
        if self._failure is not None:
            self._answer(connection, _error_frame(self._failure))
            return
        now = time.monotonic()
        self._idle.touch()
        call = _Call(connection, requests, timeout, [None] * len(requests), len(requests))
        connection.call = call
        for index, request in enumerate(requests):
            self._batcher.add(_Job(call, index), (request.strength, request.image.shape), connection.client, now)
        self._start_batch()

    def _tell_ready(self, connection: _Connection) -> None:
        """Answer a client that waits for the model, if there is an answer yet."""
        if not connection.wants_ready or (self._ready is None and self._failure is None):
            return
        connection.wants_ready = False
        if self._failure is not None:
            self._answer(connection, _error_frame(self._failure))
        else:
            self._answer(connection, wire.pack(Kind.READY, {**(self._ready or {}), "spec": self._spec.to_dict()}))

    def _stats(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "model": self._spec.id,
            "device": self._spec.device,
            "max_batch_size": self._spec.max_batch_size,
            "clients": len({found.client for found in self._connections if found.client is not None}),
            "queued": len(self._batcher),
            **self._statistics.snapshot(),
            **memory_bytes(),
        }

    def _answer(self, connection: _Connection, buffers: list[memoryview]) -> None:
        if connection.open:
            connection.outgoing += buffers
            try:
                self._flush(connection)
            except OSError:
                self._close(connection)

    def _flush(self, connection: _Connection) -> None:
        # Who does not read its answers is not listened to either, or they would pile up here.
        sent = wire.send_some(connection.sock, connection.outgoing)
        events = selectors.EVENT_READ if sent else selectors.EVENT_WRITE
        if self._selector.get_key(connection.sock).events != events:
            self._selector.modify(connection.sock, events, self._selector.get_key(connection.sock).data)

    def _refuse(self, connection: _Connection, why: str) -> None:
        """Say why, then hang up."""
        self._abandon(connection)
        if connection.open:
            with suppress(OSError):
                wire.send_some(connection.sock, [*connection.outgoing, *_error_frame(InpaintError(f"refused: {why}"))])
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        if not connection.open:
            return
        connection.open = False
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._abandon(connection)
        if connection.client is not None and all(found.client != connection.client for found in self._connections):
            self._batcher.forget(connection.client)

    def _abandon(self, connection: _Connection) -> None:
        """Forget what is queued for a client that has gone."""
        self._batcher.drop(lambda job: job.call.connection is connection, time.monotonic())
        connection.call = None

    # The engine

    def _start_batch(self) -> None:
        if self._ready is None:
            return
        taken = self._batcher.take(time.monotonic())
        if taken:
            self._running = [job for job, _ in taken]
            self._waited = sum(waited for _, waited in taken)
            self._busy_since = time.monotonic()
            self._engine.submit([job.request for job in self._running])

    def _hear(self) -> None:
        """News from the engine's thread, or a signal."""
        with suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass
        with suppress(queue.Empty):
            while True:
                self._learn(self._news.get_nowait())

    def _learn(self, news: Any) -> None:
        if isinstance(news, list):
            self._finish_batch(news)
            return
        if isinstance(news, Exception):
            self._failure = news
            self._ends_at = time.monotonic() + FAILED_LINGER_S
        else:
            self._ready = news
            logger.info("ready: %s", news)
        self._idle.touch()
        for connection in list(self._connections):
            self._tell_ready(connection)
            if self._failure is not None and connection.call is not None:
                connection.call = None
                self._answer(connection, _error_frame(self._failure))
        self._start_batch()

    def _finish_batch(self, answers: list[InpaintResult | Exception]) -> None:
        jobs, self._running = self._running, []
        now = time.monotonic()
        results = [answer for answer in answers if isinstance(answer, InpaintResult)]
        self._statistics.count_batch(results, len(jobs), self._waited, now - self._busy_since)
        self._busy_since = 0.0
        self._idle.touch()
        self._batcher.finish(now)
        self._start_batch()  # before the answers go out, so that the device does not wait for them
        for job, answer in zip(jobs, answers, strict=True):
            call = job.call
            call.missing -= 1
            if isinstance(answer, Exception):
                call.error = answer
            else:
                call.results[job.index] = answer
            if not call.missing and call.connection.call is call:
                call.connection.call = None
                self._answer(call.connection, self._reply(call))
        for answer in answers:
            # After such an error every further call fails: the context is lost, and only a new process gets a new one.
            if isinstance(answer, Exception) and "CUDA error" in str(answer):
                logger.error("the CUDA context is lost; the server ends")
                self._stopping = True

    def _reply(self, call: _Call) -> list[memoryview]:
        if call.error is not None:
            return _error_frame(call.error)
        return wire.pack_results([result for result in call.results if result is not None], self._advice())

    def _advice(self) -> str | None:
        """A warning about small batches, for one client, once."""
        if self._advice_given:
            return None
        most = self._spec.max_batch_size or 1
        batches, mean = self._statistics.batches()
        if batches < ENOUGH_BATCHES or mean >= most / 4:
            return None
        self._advice_given = True
        return (
            f"the inpainting server got batches of {mean:.1f} on average where max_batch_size={most} would fit: a"
            " transform that paints one image at a time fills at most as many places as there are workers. Use more"
            " DataLoader workers, or inpaint_transform.batch to paint a worker's whole mini-batch at once"
        )


def _error_frame(error: Exception) -> list[memoryview]:
    kind = "ValueError" if isinstance(error, ValueError) else "InpaintError"
    plain = isinstance(error, (ValueError, InpaintError))
    text = str(error) if plain else f"the engine failed: {type(error).__name__}: {error}"
    return wire.pack(Kind.ERROR, {"type": kind, "error": text[: wire.MAX_TEXT]})


def serve(
    spec: ModelSpec,
    directory: ServerDirectory,
    owner: Process | None = None,
    idle_limit: float | None = None,
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Serve in this process until the owner ends, SIGTERM or SIGINT comes, or the idle limit passes.

    Only in the main thread. The directory is gone afterwards.

    Args:
        spec: What to serve; resolved here.
        directory: Where to listen; occupied by the caller.
        owner: With whom to end; None for nobody.
        idle_limit: Seconds without a request after which to end; None for no limit.
        on_listening: Called once clients can connect.

    Raises:
        InpaintError: The model did not load.
    """
    server = Server(directory, spec.resolved(), owner, idle_limit)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, server.stop)
    try:
        server.run(on_listening)
    finally:
        directory.remove()


def main(argv: Sequence[str] | None = None) -> None:
    """The process that ``launch`` starts."""
    parser = argparse.ArgumentParser(prog="inpaint_transform.inpainter.server")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--lock", type=int, required=True, help="inherited descriptor of the locked secret")
    parser.add_argument("--owner", type=Process.parse, required=True)
    parser.add_argument("--spec", type=json.loads, required=True)
    arguments = parser.parse_args(argv)
    # Held for life, but not by whatever the engine may start.
    os.set_inheritable(arguments.lock, False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = 1
    try:
        serve(ModelSpec.of(arguments.spec), ServerDirectory(arguments.directory), arguments.owner, IDLE_LIMIT_S)
        code = 0
    except Exception:
        logger.exception("the server failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # A hung engine thread must not keep the process, and the system frees a model faster than Python does.
        os._exit(code)


if __name__ == "__main__":
    main()
