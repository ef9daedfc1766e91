"""One client's connection to a server: a question and its answer at a time."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.server_directory import PRIVATE_FOLDER, NotPrivateError, ServerDirectory
from inpaint_transform.serving.transport import credentials, paint_frames, shared_memory, wire
from inpaint_transform.serving.transport.paint_frames import Later
from inpaint_transform.serving.transport.wire import Frame, Kind, Reader, WireError

# From connecting to WELCOME.
WELCOME_S = 30.0


class NotServing(Exception):  # noqa: N818 - a state to act on, not a failure
    """Nothing listens in the directory."""


@dataclass(frozen=True)
class Answer:
    """What a server painted.

    Attributes:
        results: In the order of the requests; none where there is an error.
        advice: A warning for the user, or None.
        error: Why it could not paint, or None: ``ValueError`` for a request that is wrong.
        last: Whether it ends because of that.
        ahead: For how many seconds it is busy with what nobody waits for.
    """

    results: list[InpaintResult]
    advice: str | None = None
    error: Exception | None = None
    last: bool = False
    ahead: float = 0.0


class Connection:
    """Open to a server that runs as this user. Used by one thread at a time.

    Args:
        directory: The server's place.
        timeout: Longest wait for its WELCOME in seconds.

    Raises:
        NotServing: Nothing listens there.
        NotPrivateError: It is someone else's, others can reach it, or another user listens there.
        InpaintError: The server refuses this client.
        OSError: The connection broke before the WELCOME, or the server does not answer.
    """

    def __init__(self, directory: ServerDirectory, timeout: float = WELCOME_S) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._memory: np.ndarray | None = None
        self._shares = True
        self._pid = os.getpid()
        try:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                self._sock.setsockopt(socket.SOL_SOCKET, option, wire.SOCKET_BUFFER)
            try:
                directory.check()
                self._sock.connect(os.fspath(directory.socket))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise NotServing(f"nothing listens in {directory.path}") from error
            except PermissionError as error:
                raise InpaintError(
                    f"{directory.path} is closed to user {os.getuid()}: a server is only shared by the processes of the"
                    " user who runs it"
                ) from error
            user = credentials.peer_user(self._sock)
            if user != os.getuid():  # the directory was private a moment ago: somebody has put another in its place
                raise NotPrivateError(f"user {user} listens in {directory.path}, not this one; {PRIVATE_FOLDER}")
            self._reader = Reader(self._sock)
            self.server_pid = self._greet(time.monotonic() + timeout)
        except BaseException:
            self._sock.close()
            raise

    def _greet(self, deadline: float) -> int:
        """Say HELLO and learn the server's process id."""
        frame = self.ask(wire.pack(Kind.HELLO, {"pid": os.getpid()}), deadline)
        if frame.kind is Kind.ERROR:
            raise InpaintError(f"the inpainting server turned this process away: {frame.header.get('error')}")
        if frame.kind is not Kind.WELCOME or type(frame.header.get("pid")) is not int:
            raise InpaintError(f"the inpainting server said {frame.kind.name} instead of WELCOME")
        return int(frame.header["pid"])

    def ask(self, question: list[memoryview], deadline: float) -> Frame:
        """Send a frame and wait for the answer.

        Raises:
            OSError: The connection broke, or the deadline passed (``TimeoutError``).
        """
        self._send(question, deadline)
        return self._receive(deadline)

    def paint(self, requests: Sequence[InpaintRequest], timeout: float) -> Answer:
        """Have requests painted.

        Args:
            requests: Checked, at most as many as one frame takes.
            timeout: Longest wait in seconds, for each engine call and for the answer.

        Raises:
            InpaintError: The server speaks another protocol.
            OSError: The connection broke, or the time has passed (``TimeoutError``).
        """
        frame = self._ask_to_paint(requests, timeout)
        if frame.kind is Kind.ERROR:
            return _failed(frame)
        try:
            return Answer(paint_frames.unpack_results(frame, self._memory), frame.header.get("advice"))
        except WireError as error:
            raise _foreign(error) from error

    def paint_later(self, requests: Sequence[InpaintRequest], timeout: float, later: Later) -> Answer:
        """Have requests queued for when nobody waits; the answer has no results.

        Args:
            requests: As for ``paint``.
            timeout: Longest wait in seconds for each engine call, and here for the server to take them.
            later: Where the results go.

        Raises:
            InpaintError, OSError: As for ``paint``.
        """
        frame = self._ask_to_paint(requests, timeout, later)
        if frame.kind is Kind.ERROR:
            return _failed(frame)
        return Answer([], ahead=float(frame.header.get("ahead", 0.0)))

    def _ask_to_paint(self, requests: Sequence[InpaintRequest], timeout: float, later: Later | None = None) -> Frame:
        deadline = time.monotonic() + timeout
        self._share(paint_frames.bytes_of(requests), deadline)
        frame = self.ask(paint_frames.pack_requests(requests, timeout, self._memory, later), deadline)
        if frame.kind is Kind.NOT_SHARED:
            self._shares, self._memory = False, None
            frame = self.ask(paint_frames.pack_requests(requests, timeout, None, later), deadline)
        return frame

    def _share(self, size: int, deadline: float) -> None:
        """Share memory that holds this many bytes, where the system has some."""
        if not self._shares or (self._memory is not None and self._memory.size >= size):
            return
        made = shared_memory.create(size)
        if made is None:
            self._shares, self._memory = False, None
            return
        descriptor, self._memory = made
        try:
            self._sock.settimeout(max(deadline - time.monotonic(), 1e-3))
            wire.send_memory(self._sock, descriptor)
        finally:
            os.close(descriptor)

    def tell(self, frame: list[memoryview], deadline: float) -> None:
        """Send a frame that has no answer."""
        self._send(frame, deadline)

    def _send(self, buffers: list[memoryview], deadline: float) -> None:
        self._sock.settimeout(max(deadline - time.monotonic(), 1e-3))
        wire.send_some(self._sock, buffers)

    def _receive(self, deadline: float) -> Frame:
        try:
            frame = self._reader.read(deadline)
        except WireError as error:
            raise _foreign(error) from error
        if frame is None:  # only where a socket does not block, and this one waits up to its deadline
            raise TimeoutError
        return frame

    def broken(self) -> bool:
        """Whether the server has gone while nobody asked: between answers there is nothing to read but the end."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Hang up; in a forked child this closes only the child's copy."""
        if os.getpid() == self._pid:
            with suppress(OSError):  # it is over already
                self._sock.shutdown(socket.SHUT_RDWR)  # children that were forked meanwhile have copies
        self._sock.close()


def _failed(frame: Frame) -> Answer:
    """The answer that an ERROR frame is."""
    return Answer([], error=wire.unpack_error(frame), last=bool(frame.header.get("last")))


def _foreign(error: WireError) -> InpaintError:
    return InpaintError(f"the inpainting server speaks another protocol: {error}")
