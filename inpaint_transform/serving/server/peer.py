"""One client as the server sees it: its socket, what it has said and what it has yet to read."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.transport import shared_memory, wire
from inpaint_transform.serving.transport.wire import Frame, Kind, WireError

logger = logging.getLogger(__name__)

# From connecting to HELLO.
HELLO_S = 10.0


class Peer:
    """A connection that somebody has opened. Whatever a peer does wrong ends its own connection only.

    Args:
        sock: Accepted socket.
        selector: Where the peer waits for its socket; the data of its key is a function of the events.
        on_frame: The function that gets every frame of a peer that has said HELLO.
        on_close: The function that is called once when the connection is closed.

    Attributes:
        client: Process id that the peer gave, once it has said HELLO.
        memory: The memory it shares with this process, ``(n,)`` uint8; None while it has not handed over any.
        open: Whether there still is a connection.
    """

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        on_frame: Callable[[Peer, Frame], None],
        on_close: Callable[[Peer], None],
    ) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, wire.SOCKET_BUFFER)
        self.client: int | None = None
        self.memory: np.ndarray | None = None
        self.open = True
        self._sock = sock
        self._selector = selector
        self._on_frame = on_frame
        self._on_close = on_close
        self._reader = wire.Reader(sock, wire.MAX_HEADER_UNKNOWN, 0)
        self._hello_due = time.monotonic() + HELLO_S
        self._outgoing: list[memoryview] = []
        selector.register(sock, selectors.EVENT_READ, self._serve)

    def overdue(self, now: float) -> bool:
        """Whether it has let the time for its HELLO pass."""
        return self.client is None and now > self._hello_due

    def answer(self, buffers: list[memoryview]) -> None:
        """Send a frame, now or when the peer reads on."""
        if self.open:
            self._outgoing += buffers
            try:
                self._flush()
            except OSError:
                self.close()

    def close(self) -> None:
        """Hang up."""
        if self.open:
            self.open = False
            self.memory = None  # now, and not when a collector comes by: peers and their callbacks refer to each other
            self._selector.unregister(self._sock)
            self._sock.close()
            self._on_close(self)

    def _serve(self, events: int) -> None:
        if not self.open:  # closed since, by what another socket brought
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._flush()
            # One frame at a time, so that a client that never stops talking leaves the others their turn.
            elif (frame := self._reader.read()) is not None:
                self._handle(frame)
        except WireError as error:
            logger.warning("dropped a client: %s", error)
            self._refuse(str(error))
        except OSError:
            self.close()
        except Exception as error:
            logger.exception("dropped a client")
            self._refuse(f"{type(error).__name__}: {error}")

    def _handle(self, frame: Frame) -> None:
        if self.client is None:
            self._admit(frame)
        elif frame.kind is Kind.SHARED_MEMORY:
            self.memory = None if frame.descriptor is None else self._map(frame.descriptor)
        else:
            self._on_frame(self, frame)

    def _map(self, descriptor: int) -> np.ndarray | None:
        try:
            return shared_memory.accept(descriptor, wire.MAX_PAYLOAD)
        except shared_memory.SharedMemoryError as error:
            raise WireError(str(error)) from error
        except OSError as error:
            logger.warning("no room for the memory that a client shares: %s", error)
            return None

    def _admit(self, frame: Frame) -> None:
        pid = frame.header.get("pid")
        if frame.kind is not Kind.HELLO or type(pid) is not int:
            raise WireError("no HELLO")
        self.client = pid
        self._reader.admit()
        self.answer(wire.pack(Kind.WELCOME, {"pid": os.getpid()}))

    def _flush(self) -> None:
        # Who does not read its answers is not listened to either, or they would pile up here.
        sent = wire.send_some(self._sock, self._outgoing)
        events = selectors.EVENT_READ if sent else selectors.EVENT_WRITE
        if self._selector.get_key(self._sock).events != events:
            self._selector.modify(self._sock, events, self._serve)

    def _refuse(self, why: str) -> None:
        """Say why, then hang up."""
        if self.open:
            with suppress(OSError):
                refusal = wire.pack_error(InpaintError(f"refused: {why}"))
                wire.send_some(self._sock, [*self._outgoing, *refusal])
            self.close()
