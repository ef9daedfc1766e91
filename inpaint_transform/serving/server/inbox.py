"""How other threads and signal handlers reach the thread that waits in a selector."""

from __future__ import annotations

import queue
import socket
from contextlib import suppress
from typing import Any


class Inbox:
    """Messages for one thread, with a socket for its selector.

    Attributes:
        socket: Readable when there is something to do.
    """

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.socket, self._sender = socket.socketpair()
        self.socket.setblocking(False)
        self._sender.setblocking(False)

    def post(self, message: Any) -> None:
        """Leave a message; callable from any thread."""
        self._messages.put(message)
        self.wake()

    def wake(self) -> None:
        """Wake the thread without a message; callable from a signal handler too."""
        with suppress(BlockingIOError):  # full: it will wake
            self._sender.send(b"!")

    def take_all(self) -> list[Any]:
        """What has come, in its order."""
        with suppress(BlockingIOError):
            while self.socket.recv(4096):
                pass
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._messages.get_nowait())
        return found
