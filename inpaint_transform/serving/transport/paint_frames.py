"""PAINT and PAINTED frames: requests and results as headers and pixels.

The pixels lie in the memory that client and server share, where there is some, and in the frame otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from inpaint_transform.core.protocol import (
    MAX_TEXTS,
    REFERENCE_SIDE,
    Destination,
    InpaintRequest,
    InpaintResult,
    Question,
)
from inpaint_transform.core.service import MAX_TIMEOUT_S
from inpaint_transform.serving.transport.wire import (
    MAX_PAYLOAD,
    MAX_REQUESTS,
    MAX_SIDE,
    MAX_TEXT,
    REFERENCE_BYTES,
    Frame,
    Kind,
    WireError,
    entries_of,
    pack,
    pixel_bytes,
    references_of,
    request_bytes,
    side_of,
)

# Of a result in a pool; LMDB takes keys of up to 511 bytes.
MAX_NAME = 64


class _Pixels:
    """The pixels of a frame, to be taken piece by piece from the front.

    Args:
        frame: The frame.
        memory: Where they lie if it says so.
        parts: The pieces themselves, where they came each for itself; None for where the frame says.
    """

    def __init__(self, frame: Frame, memory: np.ndarray | None, parts: Sequence[np.ndarray] | None) -> None:
        self._parts = None if parts is None else iter(parts)
        self._start = 0
        self.shared = parts is None and bool(frame.header.get("shared"))
        self._whole = frame.payload
        if self.shared:
            needed = pixel_bytes(frame.kind, frame.header)
            if memory is None or needed > memory.size:
                raise WireError(f"{needed} bytes of pixels are not in the shared memory")
            self._whole = memory

    def take(self, size: int) -> np.ndarray:
        """The next bytes, ``(size,)`` uint8."""
        if self._parts is None:
            start, self._start = self._start, self._start + size
            return self._whole[start : self._start]
        part = next(self._parts, None)
        if part is None or part.dtype != np.uint8 or part.shape != (size,):
            raise WireError(f"a piece of {size} bytes of pixels is missing")
        return part

    def end(self) -> None:
        """Nothing more is to be taken."""
        if self._parts is not None and next(self._parts, None) is not None:
            raise WireError("there are more pixels than the header announces")


def _pack_pixels(
    kind: Kind, header: dict[str, Any], pixels: list[np.ndarray], memory: np.ndarray | None
) -> list[memoryview]:
    if memory is None or sum(part.nbytes for part in pixels) > memory.size:
        return pack(kind, header, pixels)
    start = 0
    for part in pixels:
        memory[start : start + part.size].reshape(part.shape)[...] = part
        start += part.size
    return pack(kind, {**header, "shared": True})


def bytes_of(requests: Sequence[InpaintRequest]) -> int:
    """How many bytes of pixels a PAINT frame with these requests has."""
    crops = sum(request_bytes(request.image.shape[0]) for request in requests)
    return crops + len(_references(requests)) * REFERENCE_BYTES


def _references(requests: Sequence[InpaintRequest]) -> dict[int, np.ndarray]:
    """The references of some requests by their identity: what is the same array in several goes over once."""
    return {id(request.reference): request.reference for request in requests if request.reference is not None}


def requests_per_frame(requests: Sequence[InpaintRequest]) -> int:
    """How many requests of this kind one frame takes."""
    largest = max((request.image.shape[0] for request in requests), default=1)
    return max(1, min(MAX_REQUESTS, MAX_PAYLOAD // (request_bytes(largest) + REFERENCE_BYTES)))


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
        text = getattr(request, name)
        if len(text) > MAX_TEXT:
            raise ValueError(f"{name} of {len(text)} characters: use at most {MAX_TEXT}")
        _check_text(name, text)
    if not 0 < request.strength <= 1:
        raise ValueError(f"strength={request.strength!r}: use a number in (0, 1]")
    if not 0 <= request.seed < 2**63:
        raise ValueError(f"seed={request.seed!r}: use an integer in [0, 2**63)")
    if request.question is not None:
        _check_question(request.question, side)
    reference, square = request.reference, (REFERENCE_SIDE, REFERENCE_SIDE, 3)
    if reference is not None and (reference.shape != square or reference.dtype != np.uint8):
        raise ValueError(f"reference of shape {reference.shape} and dtype {reference.dtype}: use uint8 of {square}")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}={text!r} has characters that are no text: {error.reason}; spell it anew") from error


def _check_question(question: Question, side: int) -> None:
    x0, y0, x1, y1 = question.box
    if not (0 <= x0 < x1 <= side and 0 <= y0 < y1 <= side):
        raise ValueError(f"question: the box {question.box} is empty or not inside the crop of {side} pixels")
    if not 1 <= len(question.texts) <= MAX_TEXTS:
        raise ValueError(f"question with {len(question.texts)} texts: use 1 to {MAX_TEXTS}")
    for text in question.texts:
        _check_text("question's text", text)
    if question.clip is not None:
        _check_text("question's clip", question.clip)
    if sum(map(len, (*question.texts, question.clip or ""))) > MAX_TEXT:
        raise ValueError(f"question: its texts have more than {MAX_TEXT} characters together; shorten them")


@dataclass(frozen=True)
class Later:
    """What a PAINT frame says where nobody waits for it.

    Attributes:
        names: One a request, under which its result goes into the pool.
        destination: The pool.
    """

    names: tuple[bytes, ...]
    destination: Destination


def pack_requests(
    requests: Sequence[InpaintRequest],
    timeout: float,
    memory: np.ndarray | None = None,
    later: Later | None = None,
) -> list[memoryview]:
    """A PAINT frame.

    Args:
        requests: Checked requests, at most ``requests_per_frame`` of them.
        timeout: Seconds after which a single engine call with them counts as hung.
        memory: Where to leave the pixels if they fit; None to send them.
        later: Where the results go if nobody waits for them; None to answer with them.
    """
    entries = []
    references = _references(requests)
    numbers = {identity: number for number, identity in enumerate(references)}
    for request in requests:
        entry: dict[str, Any] = {
            "side": request.image.shape[0],
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "strength": float(request.strength),
            "seed": int(request.seed),
        }
        if request.question is not None:
            asked = request.question
            box = [int(corner) for corner in asked.box]
            entry["question"] = {"box": box, "texts": list(asked.texts), "clip": asked.clip}
        if request.reference is not None:
            entry["reference"] = numbers[id(request.reference)]
        entries.append(entry)
    pixels = [part for request in requests for part in (request.image, np.packbits(request.mask))]
    pixels += references.values()
    header: dict[str, Any] = {"entries": entries, "timeout": timeout}
    if references:
        header["references"] = len(references)
    if later is not None:
        names = [name.hex() for name in later.names]
        header["later"] = {"names": names, **dataclasses.asdict(later.destination)}
    return _pack_pixels(Kind.PAINT, header, pixels, memory)


def later_of(frame: Frame) -> Later | None:
    """Where the results of a PAINT frame go if nobody waits for them.

    Raises:
        WireError: It does not say so properly.
    """
    said = frame.header.get("later")
    if said is None:
        return None
    try:
        names = tuple(bytes.fromhex(name) for name in said["names"])
        destination = Destination(**{name: value for name, value in said.items() if name != "names"})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WireError("a request for later has no names or no destination") from error
    path, numbers = destination.path, (destination.max_bytes, destination.echo)
    if not isinstance(path, str) or not Path(path).is_absolute() or "\0" in path:
        raise WireError(f"path={path!r} is not an absolute path")
    if any(type(number) is not int or number < 1 for number in numbers):
        raise WireError(f"max_bytes and echo are {numbers}, which are no whole numbers of at least 1")
    if len(names) != len(entries_of(frame.header)) or not all(1 <= len(name) <= MAX_NAME for name in names):
        raise WireError("a request for later has one name an entry")
    return Later(names, destination)


def unpack_requests(
    frame: Frame, memory: np.ndarray | None = None, parts: Sequence[np.ndarray] | None = None
) -> tuple[list[InpaintRequest], float]:
    """What ``pack_requests`` wrote; the images are views of the frame's payload, of the shared memory or of the parts.

    Args:
        frame: The frame.
        memory: The shared memory, if there is some.
        parts: The pixels as ``pack_requests`` gave them, each ``(n,)`` uint8, where they do not lie in the frame.

    Raises:
        WireError: A field is missing or out of its range.
    """
    timeout = frame.header.get("timeout")
    if not _is_number(timeout) or not 0 < timeout <= MAX_TIMEOUT_S:
        raise WireError(f"timeout={timeout!r} is not a number of seconds")
    pixels = _Pixels(frame, memory, parts)
    entries = entries_of(frame.header)
    crops = []
    for side in map(side_of, entries):
        image = pixels.take(3 * side**2).reshape(side, side, 3)
        bits = pixels.take(request_bytes(side) - 3 * side**2)
        crops.append((image, np.unpackbits(bits, count=side**2).view(np.bool_).reshape(side, side)))
    shape = (REFERENCE_SIDE, REFERENCE_SIDE, 3)
    references = [pixels.take(REFERENCE_BYTES).reshape(shape) for _ in range(references_of(frame.header))]
    pixels.end()
    requests = []
    for entry, (image, mask) in zip(entries, crops, strict=True):
        prompt, negative = entry.get("prompt"), entry.get("negative_prompt")
        strength, seed = entry.get("strength"), entry.get("seed")
        if not isinstance(prompt, str) or not isinstance(negative, str) or max(len(prompt), len(negative)) > MAX_TEXT:
            raise WireError("a prompt is not a text of bearable length")
        if not _is_number(strength) or not isinstance(seed, int):
            raise WireError("strength or seed is not a number")
        request = InpaintRequest(
            image=image,
            mask=mask,
            prompt=prompt,
            negative_prompt=negative,
            strength=float(strength),
            seed=seed,
            question=_question_of(entry),
            reference=_reference_of(entry, references),
        )
        try:
            check_request(request)
        except ValueError as error:
            raise WireError(str(error)) from error
        requests.append(request)
    return requests, float(timeout)


def _reference_of(entry: dict[str, Any], references: Sequence[np.ndarray]) -> np.ndarray | None:
    number = entry.get("reference")
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < len(references):
        raise WireError(f"reference={number!r} is none of the {len(references)} that came")
    return references[number]


def _question_of(entry: dict[str, Any]) -> Question | None:
    """The question that an entry of a PAINT header carries; its limits are not checked yet."""
    question = entry.get("question")
    if question is None:
        return None
    box = question.get("box") if isinstance(question, dict) else None
    texts = question.get("texts") if isinstance(question, dict) else None
    clip = question.get("clip") if isinstance(question, dict) else None
    if not isinstance(box, list) or len(box) != 4 or not all(type(corner) is int for corner in box):
        raise WireError(f"box={box!r} of a question is not four numbers of pixels")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise WireError("the texts of a question are no texts")
    if not isinstance(clip, str | None):
        raise WireError(f"clip={clip!r} of a question is no name")
    x0, y0, x1, y1 = box
    return Question((x0, y0, x1, y1), tuple(texts), clip)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def pack_results(
    results: Sequence[InpaintResult], advice: str | None = None, memory: np.ndarray | None = None
) -> list[memoryview]:
    """A PAINTED frame.

    Args:
        results: In the order of the requests.
        advice: A warning for the user of this client.
        memory: Where to leave the pixels if they fit; None to send them. The requests may still lie there: no result
            begins behind the request that it answers.
    """
    entries: list[dict[str, Any]] = []
    for result in results:
        if result.image is None:
            entries.append({"rejected": result.rejected or "no image"})
        elif result.answer is None:
            entries.append({"side": result.image.shape[0]})
        else:
            entries.append({"side": result.image.shape[0], "answer": [float(chance) for chance in result.answer]})
    images = [result.image for result in results if result.image is not None]
    return _pack_pixels(Kind.PAINTED, {"entries": entries, "advice": advice}, images, memory)


def unpack_results(
    frame: Frame, memory: np.ndarray | None = None, parts: Sequence[np.ndarray] | None = None
) -> list[InpaintResult]:
    """What ``pack_results`` wrote; the images stay as they are when the memory is used again.

    Args:
        frame: The frame.
        memory: The shared memory, if there is some.
        parts: As ``unpack_requests`` takes them.

    Raises:
        WireError: The pixels are not there, or an answer is none.
    """
    pixels = _Pixels(frame, memory, parts)
    results = []
    for entry in entries_of(frame.header):
        rejected = entry.get("rejected")
        if rejected is not None:
            results.append(InpaintResult(None, str(rejected)))
            continue
        side = side_of(entry)
        image = pixels.take(3 * side**2).reshape(side, side, 3)
        results.append(InpaintResult(image.copy() if pixels.shared else image, answer=_answer_of(entry)))
    pixels.end()
    return results


def _answer_of(entry: dict[str, Any]) -> tuple[float, ...] | None:
    """The answer that an entry of a PAINTED header carries."""
    answer = entry.get("answer")
    if answer is None:
        return None
    if not isinstance(answer, list) or not 1 <= len(answer) <= MAX_TEXTS:
        raise WireError(f"an answer has 1 to {MAX_TEXTS} numbers")
    if not all(_is_number(chance) and 0 <= chance <= 1 for chance in answer):
        raise WireError("an answer has something else than probabilities")
    return tuple(float(chance) for chance in answer)
