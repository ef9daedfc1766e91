"""The wire: frames of a fixed head, a JSON header and raw pixel bytes over a stream socket.

The pixels of PAINT and PAINTED lie in the memory that client and server share, where there is some, and in the frame
otherwise.

Nothing is unpickled. Every length is checked against its limit, and against what the header announces, before
memory is taken for it.
"""

from __future__ import annotations

import enum
import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint_transform.core.errors import InpaintError, of_engine
from inpaint_transform.core.protocol import REFERENCE_SIDE

MAGIC = b"INPT"
VERSION = 4
_HEAD = struct.Struct("<4sBBIQ")  # magic, version, kind, header bytes, payload bytes
HEAD_BYTES = _HEAD.size

MAX_SIDE = 8192
MAX_REQUESTS = 64
REFERENCE_BYTES = 3 * REFERENCE_SIDE**2
MAX_TEXT = 16_384
MAX_HEADER = 32 << 20  # MAX_REQUESTS of the longest texts, six bytes a character
MAX_PAYLOAD = 1 << 30
# Before a client has said HELLO it may send nothing else.
MAX_HEADER_UNKNOWN = 1024

# A 512x512 request fits whole: the sender is done before the receiver wakes up. The system may cap it.
SOCKET_BUFFER = 4 << 20


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Made once: json.dumps and json.loads make a new one for every call with arguments like these.
_ENCODER = json.JSONEncoder(allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse)


class WireError(Exception):
    """The peer does not speak this protocol."""


class Kind(enum.IntEnum):
    """What a frame says.

    Only PAINT and PAINTED carry pixels. QUEUED answers a PAINT for which nobody waits. SHARED_MEMORY carries a
    descriptor, on one byte. NOT_SHARED answers a PAINT whose pixels lie in memory that did not reach the server, for
    want of descriptors: the client sends them instead.
    """

    HELLO = 1
    WELCOME = 2
    READY = 3
    PAINT = 4
    PAINTED = 5
    STATS = 6
    SHUTDOWN = 7
    ERROR = 8
    SHARED_MEMORY = 9
    NOT_SHARED = 10
    QUEUED = 11


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
        kind: What it says.
        header: JSON object.
        payload: Raw bytes as a uint8 array ``(n,)``.
        descriptor: What SHARED_MEMORY brought, None where this process had no descriptor left for it; whoever reads
            the frame owns it.
    """

    kind: Kind
    header: dict[str, Any]
    payload: np.ndarray
    descriptor: int | None = None


def pack(kind: Kind, header: Mapping[str, Any], payload: Sequence[np.ndarray] = ()) -> list[memoryview]:
    """A frame as buffers to send one after the other; pixel arrays are not copied."""
    text = _ENCODER.encode(header).encode()
    parts = [np.ascontiguousarray(part).data.cast("B") for part in payload]
    head = _HEAD.pack(MAGIC, VERSION, kind, len(text), sum(map(len, parts)))
    return [memoryview(head + text), *parts]


def send_some(sock: socket.socket, buffers: list[memoryview]) -> bool:
    """Send what the socket takes and drop it from ``buffers``.

    Returns:
        Whether everything is sent; False only on a socket that does not block.
    """
    while buffers:
        try:
            sent = sock.sendmsg(buffers)
        except BlockingIOError:
            return False
        while sent:
            first = len(buffers[0])
            if sent < first:
                buffers[0] = buffers[0][sent:]
                break
            sent -= first
            del buffers[0]
    return True


def send_memory(sock: socket.socket, descriptor: int) -> None:
    """Hand shared memory over on a blocking socket; the sender keeps its own descriptor."""
    sock.sendall(b"".join(pack(Kind.SHARED_MEMORY, {}, [np.zeros(1, np.uint8)]))[:-1])
    socket.send_fds(sock, [b"\0"], [descriptor])


class Reader:
    """Takes frames off a socket, in pieces as they come.

    Args:
        sock: Connected stream socket, blocking or not.
        max_header: Longest header in bytes.
        max_payload: Longest payload in bytes.
    """

    def __init__(self, sock: socket.socket, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> None:
        self._sock = sock
        self._max_header = max_header
        self._max_payload = max_payload
        self._descriptor: int | None = None
        self._expect_head()

    def admit(self) -> None:
        """From now on the peer may send all that this protocol has."""
        self._max_header, self._max_payload = MAX_HEADER, MAX_PAYLOAD

    def read(self, deadline: float | None = None) -> Frame | None:
        """Read on until a frame is whole.

        Args:
            deadline: On a blocking socket, when to give up, on the clock of ``time.monotonic``.

        Returns:
            The frame, or None where a socket that does not block has no more bytes yet.

        Raises:
            WireError: The bytes are no frame, or a frame over the limits.
            ConnectionError: The peer has closed the connection.
            TimeoutError: The deadline has passed.
        """
        while True:
            while self._filled < len(self._view):
                if deadline is not None:
                    self._sock.settimeout(max(deadline - time.monotonic(), 1e-3))
                try:
                    received = self._receive()
                except BlockingIOError:
                    return None
                if not received:
                    raise ConnectionResetError("the peer has closed the connection")
                self._filled += received
            frame = self._advance()
            if frame is not None:
                return frame

    def _receive(self) -> int:
        """Take what is there of the part that is expected; how many bytes it was."""
        if self._kind is not Kind.SHARED_MEMORY or self._header is None:
            return self._sock.recv_into(self._view[self._filled :])
        data, descriptors, flags, _ = socket.recv_fds(self._sock, 1, 1)
        # Cut short: there was one, and this process is at its limit.
        if data and not descriptors and not flags & socket.MSG_CTRUNC:
            raise WireError("shared memory without a descriptor")
        self._descriptor = next(iter(descriptors), None)
        return len(data)

    def _expect_head(self) -> None:
        self._kind: Kind | None = None
        self._descriptor = None
        self._header: dict[str, Any] | None = None
        self._payload_bytes = 0
        self._expect(_HEAD.size)

    def _expect(self, size: int) -> None:
        self._buffer = np.empty(size, np.uint8)
        self._view = self._buffer.data
        self._filled = 0

    def _advance(self) -> Frame | None:
        """The buffer is full: move to the frame's next part, or give the whole frame."""
        if self._kind is None:
            magic, version, kind, header_bytes, self._payload_bytes = _HEAD.unpack(self._view)
            if magic != MAGIC or version != VERSION:
                raise WireError(f"not a frame of version {VERSION}")
            if header_bytes > self._max_header or self._payload_bytes > self._max_payload:
                raise WireError(f"a frame of {header_bytes} + {self._payload_bytes} bytes is over the limit")
            try:
                self._kind = Kind(kind)
            except ValueError as error:
                raise WireError(f"unknown kind of frame {kind}") from error
            self._expect(header_bytes)
            return None
        if self._header is None:
            self._header = _parse(self._view)
            if self._payload_bytes != _announced_bytes(self._kind, self._header):
                raise WireError(f"a payload of {self._payload_bytes} bytes is not what its header announces")
            self._expect(self._payload_bytes)
            return None
        frame = Frame(self._kind, self._header, self._buffer, self._descriptor)
        self._expect_head()
        return frame


def _parse(text: memoryview) -> dict[str, Any]:
    try:
        header = _DECODER.decode(str(text, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("the header is not an object")
    return header


def _announced_bytes(kind: Kind, header: dict[str, Any]) -> int:
    if kind is Kind.SHARED_MEMORY:
        return 1
    return 0 if header.get("shared") else pixel_bytes(kind, header)


def pixel_bytes(kind: Kind, header: dict[str, Any]) -> int:
    """How many bytes of pixels a header announces, wherever they lie.

    Raises:
        WireError: Its entries are none.
    """
    if kind is Kind.PAINT:
        crops = sum(request_bytes(side_of(entry)) for entry in entries_of(header))
        return crops + references_of(header) * REFERENCE_BYTES
    if kind is Kind.PAINTED:
        return sum(3 * side_of(entry) ** 2 for entry in entries_of(header) if entry.get("rejected") is None)
    return 0


def entries_of(header: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a PAINT or PAINTED header, one a request.

    Raises:
        WireError: They are no objects, or too many.
    """
    entries = header.get("entries")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_REQUESTS:
        raise WireError(f"a frame has 1 to {MAX_REQUESTS} entries")
    if not all(isinstance(entry, dict) for entry in entries):
        raise WireError("an entry is not an object")
    return entries


def side_of(entry: dict[str, Any]) -> int:
    """The side in pixels of the crop that an entry stands for.

    Raises:
        WireError: It is missing or out of its range.
    """
    side = entry.get("side")
    if type(side) is not int or not 1 <= side <= MAX_SIDE:
        raise WireError(f"side={side!r} is not a number of pixels up to {MAX_SIDE}")
    return side


def references_of(header: dict[str, Any]) -> int:
    """How many references a PAINT header announces; they come after the crops, and several entries may share one.

    Raises:
        WireError: It is no such number.
    """
    count = header.get("references", 0)
    if type(count) is not int or not 0 <= count <= MAX_REQUESTS:
        raise WireError(f"references={count!r} is not a number up to {MAX_REQUESTS}")
    return count


def request_bytes(side: int) -> int:
    """Bytes of one request's pixels: an RGB crop, and its mask as bits."""
    return 3 * side**2 + -(-(side**2) // 8)


def pack_error(error: Exception, last: bool = False) -> list[memoryview]:
    """An ERROR frame; ``unpack_error`` makes the same kind of error from it.

    Args:
        error: The error.
        last: Whether the server ends because of it.
    """
    kind = "ValueError" if isinstance(error, ValueError) else "InpaintError"
    return pack(Kind.ERROR, {"type": kind, "error": str(of_engine(error))[:MAX_TEXT], "last": last})


def unpack_error(frame: Frame) -> Exception:
    """What ``pack_error`` wrote."""
    text = str(frame.header.get("error"))
    return ValueError(text) if frame.header.get("type") == "ValueError" else InpaintError(text)
