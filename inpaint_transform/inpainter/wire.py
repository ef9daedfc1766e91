"""The wire: frames of a fixed head, a JSON header and raw pixel bytes over a stream socket.

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
from typing import Any, TypeGuard

import numpy as np

from inpaint_transform.messages import InpaintRequest, InpaintResult

MAGIC = b"INPT"
VERSION = 1
_HEAD = struct.Struct("<4sBBIQ")  # magic, version, kind, header bytes, payload bytes

MAX_SIDE = 8192
MAX_REQUESTS = 64
MAX_TEXT = 16_384
MAX_TIMEOUT_S = 1e9
MAX_HEADER = 8 << 20
MAX_PAYLOAD = 1 << 30
# Before the peer has shown the secret it may only send the frames of the handshake.
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
    """What a frame says. Only PAINT and PAINTED carry a payload."""

    CHALLENGE = 1
    PROOF = 2
    WELCOME = 3
    READY = 4
    PAINT = 5
    PAINTED = 6
    STATS = 7
    SHUTDOWN = 8
    ERROR = 9


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
        kind: What it says.
        header: JSON object.
        payload: Raw bytes as a uint8 array ``(n,)``.
    """

    kind: Kind
    header: dict[str, Any]
    payload: np.ndarray


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


class Reader:
    """Takes frames off a socket, in pieces as they come.

    Args:
        sock: Connected stream socket, blocking or not.
        max_header: Longest header in bytes.
        max_payload: Longest payload in bytes.
    """

    def __init__(self, sock: socket.socket, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> None:
        self._sock = sock
        self.max_header = max_header
        self.max_payload = max_payload
        self._expect_head()

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
                    received = self._sock.recv_into(self._view[self._filled :])
                except BlockingIOError:
                    return None
                if not received:
                    raise ConnectionResetError("the peer has closed the connection")
                self._filled += received
            frame = self._advance()
            if frame is not None:
                return frame

    def _expect_head(self) -> None:
        self._kind: Kind | None = None
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
            if header_bytes > self.max_header or self._payload_bytes > self.max_payload:
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
        frame = Frame(self._kind, self._header, self._buffer)
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
    if kind is Kind.PAINT:
        return sum(_request_bytes(_side(entry)) for entry in _entries(header))
    if kind is Kind.PAINTED:
        return sum(3 * _side(entry) ** 2 for entry in _entries(header) if entry.get("rejected") is None)
    return 0


def _entries(header: dict[str, Any]) -> list[dict[str, Any]]:
    entries = header.get("entries")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_REQUESTS:
        raise WireError(f"a frame has 1 to {MAX_REQUESTS} entries")
    if not all(isinstance(entry, dict) for entry in entries):
        raise WireError("an entry is not an object")
    return entries


def _side(entry: dict[str, Any]) -> int:
    side = entry.get("side")
    if type(side) is not int or not 1 <= side <= MAX_SIDE:
        raise WireError(f"side={side!r} is not a number of pixels up to {MAX_SIDE}")
    return side


def _request_bytes(side: int) -> int:
    return 3 * side**2 + -(-(side**2) // 8)


def requests_per_frame(requests: Sequence[InpaintRequest]) -> int:
    """How many requests of this kind one frame takes."""
    largest = max((request.image.shape[0] for request in requests), default=1)
    return max(1, min(MAX_REQUESTS, MAX_PAYLOAD // _request_bytes(largest)))


def check_request(request: InpaintRequest) -> None:
    """Raise where a request cannot go over the wire.

    Raises:
        ValueError: Names the field, its value and the mend.
    """
    image, mask = request.image, request.mask
    side = image.shape[0] if image.ndim else 0
    if image.shape != (side, side, 3) or image.dtype != np.uint8 or not 1 <= side <= MAX_SIDE:
        raise ValueError(f"image of shape {image.shape} and dtype {image.dtype}: use uint8 of shape (size, size, 3)")
    if mask.shape != (side, side) or mask.dtype != np.bool_:
        raise ValueError(f"mask of shape {mask.shape} and dtype {mask.dtype}: use bool of shape {(side, side)}")
    for name in ("prompt", "negative_prompt"):
        if len(getattr(request, name)) > MAX_TEXT:
            raise ValueError(f"{name} of {len(getattr(request, name))} characters: use at most {MAX_TEXT}")
    if not 0 < request.strength <= 1:
        raise ValueError(f"strength={request.strength!r}: use a number in (0, 1]")
    if not 0 <= request.seed < 2**63:
        raise ValueError(f"seed={request.seed!r}: use an integer in [0, 2**63)")


def pack_requests(requests: Sequence[InpaintRequest], timeout: float) -> list[memoryview]:
    """A PAINT frame.

    Args:
        requests: Checked requests, at most ``requests_per_frame`` of them.
        timeout: Seconds after which a single engine call with them counts as hung.
    """
    entries = [
        {
            "side": request.image.shape[0],
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "strength": float(request.strength),
            "seed": int(request.seed),
        }
        for request in requests
    ]
    payload = [part for request in requests for part in (request.image, np.packbits(request.mask))]
    return pack(Kind.PAINT, {"entries": entries, "timeout": timeout}, payload)


def unpack_requests(frame: Frame) -> tuple[list[InpaintRequest], float]:
    """What ``pack_requests`` wrote.

    Raises:
        WireError: A field is missing or out of its range.
    """
    timeout = frame.header.get("timeout")
    if not _is_number(timeout) or not 0 < timeout <= MAX_TIMEOUT_S:
        raise WireError(f"timeout={timeout!r} is not a number of seconds")
    requests = []
    start = 0
    for entry in _entries(frame.header):
        side = _side(entry)
        middle = start + 3 * side**2
        stop = start + _request_bytes(side)
        prompt, negative = entry.get("prompt"), entry.get("negative_prompt")
        strength, seed = entry.get("strength"), entry.get("seed")
        if not isinstance(prompt, str) or not isinstance(negative, str) or max(len(prompt), len(negative)) > MAX_TEXT:
            raise WireError("a prompt is not a text of bearable length")
        if not _is_number(strength) or not isinstance(seed, int):
            raise WireError("strength or seed is not a number")
        request = InpaintRequest(
            image=frame.payload[start:middle].reshape(side, side, 3),
            mask=np.unpackbits(frame.payload[middle:stop], count=side**2).view(np.bool_).reshape(side, side),
            prompt=prompt,
            negative_prompt=negative,
            strength=float(strength),
            seed=seed,
        )
        try:
            check_request(request)
        except ValueError as error:
            raise WireError(str(error)) from error
        requests.append(request)
        start = stop
    return requests, float(timeout)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def pack_results(results: Sequence[InpaintResult], advice: str | None = None) -> list[memoryview]:
    """A PAINTED frame.

    Args:
        results: In the order of the requests.
        advice: A warning for the user of this client.
    """
    entries = [
        {"rejected": result.rejected or "no image"} if result.image is None else {"side": result.image.shape[0]}
        for result in results
    ]
    images = [result.image for result in results if result.image is not None]
    return pack(Kind.PAINTED, {"entries": entries, "advice": advice}, images)


def unpack_results(frame: Frame) -> list[InpaintResult]:
    """What ``pack_results`` wrote; the images are views of the frame's payload."""
    results = []
    start = 0
    for entry in _entries(frame.header):
        rejected = entry.get("rejected")
        if rejected is not None:
            results.append(InpaintResult(None, str(rejected)))
            continue
        side = _side(entry)
        stop = start + 3 * side**2
        results.append(InpaintResult(frame.payload[start:stop].reshape(side, side, 3)))
        start = stop
    return results
