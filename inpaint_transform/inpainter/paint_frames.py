"""PAINT and PAINTED frames: requests and results as headers and pixels.

The pixels lie in the region that client and server share, where there is one, and in the frame otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from inpaint_transform.inpainter.wire import (
    MAX_PAYLOAD,
    MAX_REQUESTS,
    MAX_SIDE,
    MAX_TEXT,
    Frame,
    Kind,
    WireError,
    entries_of,
    pack,
    pixel_bytes,
    request_bytes,
    side_of,
)
from inpaint_transform.messages import InpaintRequest, InpaintResult

MAX_TIMEOUT_S = 1e9


def _pixels(frame: Frame, region: np.ndarray | None) -> np.ndarray:
    """Where a frame's pixels lie."""
    if not frame.header.get("region"):
        return frame.payload
    needed = pixel_bytes(frame.kind, frame.header)
    if region is None or needed > region.size:
        raise WireError(f"{needed} bytes of pixels are not in the region")
    return region


def _pack_pixels(
    kind: Kind, header: dict[str, Any], pixels: list[np.ndarray], region: np.ndarray | None
) -> list[memoryview]:
    if region is None or sum(part.nbytes for part in pixels) > region.size:
        return pack(kind, header, pixels)
    start = 0
    for part in pixels:
        region[start : start + part.size].reshape(part.shape)[...] = part
        start += part.size
    return pack(kind, {**header, "region": True})


def bytes_of(requests: Sequence[InpaintRequest]) -> int:
    """How many bytes of pixels a PAINT frame with these requests has."""
    return sum(request_bytes(request.image.shape[0]) for request in requests)


def requests_per_frame(requests: Sequence[InpaintRequest]) -> int:
    """How many requests of this kind one frame takes."""
    largest = max((request.image.shape[0] for request in requests), default=1)
    return max(1, min(MAX_REQUESTS, MAX_PAYLOAD // request_bytes(largest)))


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


def pack_requests(
    requests: Sequence[InpaintRequest], timeout: float, region: np.ndarray | None = None
) -> list[memoryview]:
    """A PAINT frame.

    Args:
        requests: Checked requests, at most ``requests_per_frame`` of them.
        timeout: Seconds after which a single engine call with them counts as hung.
        region: Where to leave the pixels if they fit; None to send them.
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
    pixels = [part for request in requests for part in (request.image, np.packbits(request.mask))]
    return _pack_pixels(Kind.PAINT, {"entries": entries, "timeout": timeout}, pixels, region)


def unpack_requests(frame: Frame, region: np.ndarray | None = None) -> tuple[list[InpaintRequest], float]:
    """What ``pack_requests`` wrote; the images are views of the frame's payload or of the region.

    Raises:
        WireError: A field is missing or out of its range.
    """
    pixels = _pixels(frame, region)
    timeout = frame.header.get("timeout")
    if not _is_number(timeout) or not 0 < timeout <= MAX_TIMEOUT_S:
        raise WireError(f"timeout={timeout!r} is not a number of seconds")
    requests = []
    start = 0
    for entry in entries_of(frame.header):
        side = side_of(entry)
        middle = start + 3 * side**2
        stop = start + request_bytes(side)
        prompt, negative = entry.get("prompt"), entry.get("negative_prompt")
        strength, seed = entry.get("strength"), entry.get("seed")
        if not isinstance(prompt, str) or not isinstance(negative, str) or max(len(prompt), len(negative)) > MAX_TEXT:
            raise WireError("a prompt is not a text of bearable length")
        if not _is_number(strength) or not isinstance(seed, int):
            raise WireError("strength or seed is not a number")
        request = InpaintRequest(
            image=pixels[start:middle].reshape(side, side, 3),
            mask=np.unpackbits(pixels[middle:stop], count=side**2).view(np.bool_).reshape(side, side),
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


def pack_results(
    results: Sequence[InpaintResult], advice: str | None = None, region: np.ndarray | None = None
) -> list[memoryview]:
    """A PAINTED frame.

    Args:
        results: In the order of the requests.
        advice: A warning for the user of this client.
        region: Where to leave the pixels if they fit; None to send them. The requests may still lie there: no result
            begins behind the request that it answers.
    """
    entries = [
        {"rejected": result.rejected or "no image"} if result.image is None else {"side": result.image.shape[0]}
        for result in results
    ]
    images = [result.image for result in results if result.image is not None]
    return _pack_pixels(Kind.PAINTED, {"entries": entries, "advice": advice}, images, region)


def unpack_results(frame: Frame, region: np.ndarray | None = None) -> list[InpaintResult]:
    """What ``pack_results`` wrote; the images stay as they are when the region is used again.

    Raises:
        WireError: The pixels are not in the region.
    """
    pixels = _pixels(frame, region)
    results = []
    start = 0
    for entry in entries_of(frame.header):
        rejected = entry.get("rejected")
        if rejected is not None:
            results.append(InpaintResult(None, str(rejected)))
            continue
        side = side_of(entry)
        stop = start + 3 * side**2
        image = pixels[start:stop].reshape(side, side, 3)
        results.append(InpaintResult(image.copy() if pixels is region else image))
        start = stop
    return results
