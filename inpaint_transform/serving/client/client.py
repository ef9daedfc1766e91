"""The shared inpainter: a job's processes paint through one server, which whoever comes first starts."""

from __future__ import annotations

import atexit
import dataclasses
import errno
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import Model, ModelSpec, ResolvedSpec
from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult
from inpaint_transform.core.user_warning import warn_user
from inpaint_transform.serving.client.budget import MAX_FAILURES, Budget
from inpaint_transform.serving.client.connection import WELCOME_S, Answer, Connection, NotServing
from inpaint_transform.serving.client.launch import ensure_running
from inpaint_transform.serving.engines import engine_name
from inpaint_transform.serving.forks import call_after_fork
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.serving.placement import MAX_CALL, MIN_CALL, resolve_device
from inpaint_transform.serving.server_directory import NotPrivateError, ServerDirectory, directory_for
from inpaint_transform.serving.session import Session
from inpaint_transform.serving.transport import paint_frames, wire
from inpaint_transform.serving.transport.paint_frames import Later
from inpaint_transform.serving.transport.wire import Kind

# How often to try a server that is just coming or going.
_MAX_TRIES = 10
_PAUSE_S = 0.05

# What this process may lack.
_MENDS = {
    errno.EMFILE: "raise this process's limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.ENOSPC: "free space and inodes in the folder for temporary files, or set XDG_RUNTIME_DIR to another folder",
    errno.EDQUOT: "free space in the folder for temporary files, or set XDG_RUNTIME_DIR to another folder",
    errno.ENOMEM: "free memory",
}
# The clients of this process, for its end.
_clients: weakref.WeakSet[SharedInpainter] = weakref.WeakSet()


class SharedInpainter:
    """Paints through the server of a session and spec. Thread-safe and fork-safe; connects at the first use.

    Args:
        spec: What to paint with. With ``address`` the server there is used, and none is ever started.
        session: The training job whose server it is.

    Raises:
        InpaintError: This system has no Unix sockets.
    """

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        if sys.platform == "win32":
            raise InpaintError(
                "serving='shared' needs Unix sockets, which Python lacks on Windows: use serving='local'"
            )
        self._spec = spec.resolved()
        self._listener = Listener(self._spec)
        self._session = session
        # The folder of a server that was started by hand; None where this job's processes start theirs.
        self._folder = None if self._spec.serving == "ray" else self._spec.address
        self._timeout = self._spec.timeout_s
        self._size: int | None = None
        self._start_empty()
        call_after_fork(self, SharedInpainter._start_empty)
        _clients.add(self)

    def _start_empty(self) -> None:
        """As a process begins: a forked child must not speak on its parent's connections."""
        self._lock = threading.Lock()
        self._free: list[Connection] = []
        self._budget = Budget()
        self._place: tuple[ServerDirectory, ModelSpec] | None = None

    @property
    def size(self) -> int:
        """Side of the working crop in pixels; the first question starts the server if need be.

        Raises:
            InpaintError: The server or its model does not come up.
        """
        if self._size is None:
            with _named():
                self._give_back(self._take())
        return self._size or 0

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request. To paint has no side effects, so what a dying server leaves undone is asked again.

        Raises:
            ValueError: A request is not valid.
            InpaintError: The server does not come up, is lost too often, or does not answer within ``timeout_s``.
        """
        for request in requests:
            paint_frames.check_request(request)
        step = paint_frames.requests_per_frame(requests)
        results: list[InpaintResult] = []
        for start in range(0, len(requests), step):
            with _named():
                answer = self._paint(requests[start : start + step])
            if answer.advice:
                warn_user(answer.advice)
            results += answer.results
        return results

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """Have requests painted by the server when nobody waits for it; for how many seconds it has enough to do.

        The server puts the results into the pool by itself, so this process need not live to see them.

        Raises:
            ValueError, InpaintError: As for ``paint``.
        """
        for request in requests:
            paint_frames.check_request(request)
        # The server has its advice for whoever waits for an answer.
        self._listener.hear(request.prompt for request in requests)
        step = paint_frames.requests_per_frame(requests)
        ahead = 0.0
        for start in range(0, len(requests), step):
            ahead = self._queue(requests[start : start + step], Later(tuple(names[start : start + step]), destination))
        return ahead

    def _queue(self, requests: Sequence[InpaintRequest], later: Later) -> float:
        with _named():
            return self._ask(lambda connection: connection.paint_later(requests, self._timeout, later)).ahead

    def _paint(self, requests: Sequence[InpaintRequest]) -> Answer:
        return self._ask(lambda connection: connection.paint(requests, self._timeout))

    def stats(self) -> dict[str, Any]:
        """What the server did for all its clients; empty while there is none."""
        try:
            connection = Connection(self._locate()[0])
            try:
                return connection.ask(wire.pack(Kind.STATS, {}), time.monotonic() + self._timeout).header
            finally:
                connection.close()
        except (NotServing, OSError):
            return {}

    def close(self) -> None:
        """Let go of the server; the next use connects again."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        broken = ""
        for _ in range(MAX_FAILURES):
            connection = self._take()
            begun = time.monotonic()
            try:
                answer = question(connection)
            except TimeoutError as error:
                connection.close()
                hang = (
                    f"the inpainting server did not answer within timeout_s={self._timeout:g}: its engine hangs, or"
                    " timeout_s is too short for this model, device and number of workers"
                )
                self._budget.fail(connection.server_pid, hang, begun)
                raise InpaintError(hang) from error
            except OSError as error:
                connection.close()
                broken = str(error)
                self._lose(connection.server_pid, broken)
            except BaseException:  # Ctrl-C in the middle of an answer: the rest of it would come as the next one
                connection.close()
                raise
            else:
                self._give_back(connection)
                if answer.last:
                    self._budget.fail(connection.server_pid, str(answer.error), begun)
                else:
                    self._budget.succeed()
                if answer.error is not None:
                    raise answer.error
                return answer
        self._budget.check()
        # Servers that were lost would have been counted: this one lives, and hangs up on this request.
        raise InpaintError(f"the inpainting server hung up {MAX_FAILURES} times on the same request: {broken}")

    def _take(self) -> Connection:
        """A connection that no other thread uses."""
        while True:
            with self._lock:
                connection = self._free.pop() if self._free else None
            if connection is None:
                return self._open()
            if not connection.broken():
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            self._free.append(connection)

    def _open(self) -> Connection:
        """A new connection to a server whose model is loaded; starts the server if there is none."""
        problem: Exception | None = None
        for tried in range(_MAX_TRIES):
            self._budget.check()
            time.sleep(_PAUSE_S * tried)
            directory, _ = self._locate()
            try:
                connection = Connection(directory, min(WELCOME_S, self._timeout))
            except NotServing as error:
                problem = error
                if self._folder is not None:
                    raise InpaintError(
                        f"address={self._spec.address!r}: no server listens there; start it with"
                        " 'inpaint-transform serve' and give the folder that it prints"
                    ) from error
                dead = directory.server()
                if dead is not None and not dead.alive():  # killed, or it would have cleared up
                    self._lose(dead.pid, directory.log_tail())
                    self._budget.check()
                self._place = None  # its base folder may have gone with a logout
                self._start(*self._locate())
                continue
            except NotPrivateError as error:
                self._place = None  # another name, now that somebody else has this one
                if self._locate()[0] == directory:
                    raise
                problem = error
                continue
            except TimeoutError as error:
                problem = error
                self._end_silent(directory)
                continue
            except OSError as error:
                if error.errno in _MENDS:  # what this process lacks, it will lack in a moment too
                    raise
                problem = error
                continue
            if self._wait_for_model(connection, directory):
                return connection
        raise InpaintError(f"the inpainting server in {directory.path} cannot be reached: {problem}")

    def _start(self, directory: ServerDirectory, spec: ModelSpec) -> None:
        try:
            ensure_running(directory, spec, self._session)
        except InpaintError as error:
            self._budget.fail(object(), str(error))  # it never had a process id
            raise

    def _end_silent(self, directory: ServerDirectory) -> None:
        """End a server that listens and does not even answer a HELLO: stopped, or deep in native code."""
        silent = directory.server()
        if silent is not None and self._folder is None:
            self._lose(silent.pid, f"it did not answer for {min(WELCOME_S, self._timeout):g} s and was ended")
            silent.kill()

    def _wait_for_model(self, connection: Connection, directory: ServerDirectory) -> bool:
        """Wait until the server can paint; False if it was lost meanwhile."""
        begun = time.monotonic()
        try:
            ready = connection.ask(wire.pack(Kind.READY, {}), time.monotonic() + self._timeout)
            if ready.kind is Kind.ERROR:
                error = wire.unpack_error(ready)
                self._budget.fail(connection.server_pid, str(error))
                raise error
            self._check_address(ready.header["spec"])
            self._size = int(ready.header["size"])
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                late = f"the inpainting server did not load its model within timeout_s={self._timeout:g}"
                self._budget.fail(connection.server_pid, late, begun)
                raise InpaintError(f"{late}; {directory.log_tail()}") from error
            if isinstance(error, OSError):
                self._lose(connection.server_pid, f"while it loaded the model; {directory.log_tail()}")
                return False
            raise
        return True

    def _lose(self, server_pid: int, how: str) -> None:
        self._budget.fail(server_pid, f"process {server_pid} is gone: {how}")

    def _locate(self) -> tuple[ServerDirectory, ModelSpec]:
        """The server's directory, and what it is to serve if it has to be started."""
        if self._place is None:
            if self._folder is not None:
                self._place = ServerDirectory(Path(self._folder)), self._spec
            elif self._spec.serving == "ray":
                calls = min(max(self._spec.max_batch_size, MIN_CALL), MAX_CALL)
                serve = dataclasses.replace(self._spec, max_batch_size=calls, timeout_s=ResolvedSpec.timeout_s)
                key = [serve.to_dict(), os.environ.get("RAY_ADDRESS", ""), engine_name()]
                self._place = directory_for(self._session, key), serve
            else:
                serve = dataclasses.replace(
                    self._spec,
                    device=resolve_device(self._spec.device),
                    serving="local",
                    timeout_s=ResolvedSpec.timeout_s,
                )
                # Launchers give ranks different devices under the same number.
                visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
                key = [serve.to_dict(), visible, engine_name()]
                self._place = directory_for(self._session, key), serve
        return self._place

    def _check_address(self, served: dict[str, Any]) -> None:
        """Raise where a server that was started by hand would paint something else than asked for."""
        if self._folder is None:
            return
        wanted, there = self._spec, ModelSpec.of(served).resolved()
        for field in dataclasses.fields(Model):
            mine, theirs = getattr(wanted, field.name), getattr(there, field.name)
            if mine != theirs:
                raise InpaintError(
                    f"{field.name}={mine!r}: the server at address={self._spec.address!r} runs with {theirs!r}; use"
                    f" {field.name}={theirs!r}, or start another server"
                )


@contextmanager
def _named() -> Iterator[None]:
    """Where what the system refuses leaves this room: as an error that ``on_error`` knows."""
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0)
        raise InpaintError(f"the inpainting server cannot be reached: {error}{f'; {mend}' if mend else ''}") from error


@atexit.register
def _hang_up() -> None:
    # Left to the interpreter's end, every open socket would be worth a ResourceWarning.
    for client in list(_clients):
        client.close()
