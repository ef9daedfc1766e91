"""What crosses between a node's server and a painter: JSON text beside arrays of bytes, and nothing else.

The entries and the order of the pixels are those of PAINT and PAINTED frames, written and checked by the same
functions. Each image is an array of its own: Ray copies arrays once, and joining them would be once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.transport import paint_frames, wire
from inpaint_transform.serving.transport.wire import Frame, Kind, WireError

Message = tuple[str, list[np.ndarray]]

# Servers and painters whose messages differ refuse each other by it.
VERSION = 3

_NO_PIXELS = np.empty(0, np.uint8)


def pack_requests(requests: Sequence[InpaintRequest], timeout: float) -> Message:
    """Requests as JSON text and their pixels, each part ``(n,)`` uint8; the parts view the requests' images.

    Args:
        requests: At most ``wire.MAX_REQUESTS``.
        timeout: Longest time in seconds that one call of the engine may take.
    """
    return _message(paint_frames.pack_requests(requests, timeout))


def unpack_requests(message: Message) -> tuple[list[InpaintRequest], float]:
    """What ``pack_requests`` wrote; the images view the message's arrays.

    Raises:
        WireError: It is something else, or a request is not valid.
    """
    text, pixels = message
    return paint_frames.unpack_requests(Frame(Kind.PAINT, load(text), _NO_PIXELS), parts=_checked(pixels))


def pack_answers(answers: Sequence[InpaintResult | Exception]) -> Message:
    """One answer a request: errors in the text, images in arrays."""
    errors = {
        str(index): load(_message(wire.pack_error(answer))[0])
        for index, answer in enumerate(answers)
        if isinstance(answer, Exception)
    }
    results = [answer for answer in answers if isinstance(answer, InpaintResult)]
    if not results:
        return json.dumps({"errors": errors, "painted": None}), []
    text, pixels = _message(paint_frames.pack_results(results, None, None))
    return json.dumps({"errors": errors, "painted": load(text)}), pixels


def unpack_answers(message: Message, count: int) -> list[InpaintResult | Exception]:
    """What ``pack_answers`` wrote; the images view the message's arrays, which may be read-only.

    Args:
        message: The text and the pixels.
        count: How many answers are due.

    Raises:
        WireError: It is something else.
    """
    text, pixels = message
    header = load(text)
    errors, painted = header.get("errors"), header.get("painted")
    if not isinstance(errors, dict) or not all(isinstance(error, dict) for error in errors.values()):
        raise WireError("the errors of an answer are no objects")
    results: list[InpaintResult] = []
    if isinstance(painted, dict):
        frame = Frame(Kind.PAINTED, painted, _NO_PIXELS)
        results = paint_frames.unpack_results(frame, parts=_checked(pixels))
    if len(results) + len(errors) != count or not set(errors) <= set(map(str, range(count))):
        raise WireError(f"{len(results)} results and {len(errors)} errors for {count} requests")
    left = iter(results)
    return [
        wire.unpack_error(Frame(Kind.ERROR, errors[str(index)], _NO_PIXELS)) if str(index) in errors else next(left)
        for index in range(count)
    ]


def load(text: object) -> dict[str, Any]:
    """A JSON object from its text.

    Raises:
        WireError: It is none.
    """
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise WireError("a message's text is not JSON") from error
    if not isinstance(found, dict):
        raise WireError("a message's text is no JSON object")
    return found


def _message(buffers: list[memoryview]) -> Message:
    return str(buffers[0][wire.HEAD_BYTES :], "utf-8"), [np.frombuffer(part, np.uint8) for part in buffers[1:]]


def _checked(pixels: object) -> list[np.ndarray]:
    if not isinstance(pixels, list) or not all(isinstance(part, np.ndarray) for part in pixels):
        raise WireError("the pixels of a message are no list of arrays")
    return pixels
