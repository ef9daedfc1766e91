"""Records: looks and raw results as bytes, and back without copying their pixels."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from inpaint_transform.core.looks import Kept
from inpaint_transform.core.protocol import InpaintResult

_MAGIC = b"LOOK"
# Magic, length of the JSON.
_HEAD = struct.Struct("<4sI")
# Where pixels begin, so that every dtype is aligned.
_ALIGN = 16
_DTYPES = {"uint8", "uint16", "float32"}


def pack_look(kept: Kept) -> bytes:
    """A look as one value of the store."""
    values = {
        "accepted": kept.accepted,
        "reason": kept.reason,
        "seed": kept.seed,
        "attempts": kept.attempts,
        "scores": dict(kept.scores),
        "final": kept.final,
        "box": kept.box,
        "label": kept.label,
        "prompt": kept.prompt,
        "model": kept.model,
        "epoch": kept.epoch,
        "painted_at": kept.painted_at,
    }
    return _pack(values, kept.pixels)


def unpack_look(value: memoryview) -> Kept | None:
    """What ``pack_look`` wrote, its pixels as a view of ``value``; None where a record is damaged."""
    found = _unpack(value)
    if found is None:
        return None
    values, pixels = found
    try:
        values["box"] = tuple(values["box"])
        return Kept(**values, pixels=pixels)
    except (KeyError, TypeError):
        return None


def pack_raw(result: InpaintResult) -> bytes:
    """What the model gave, not judged yet, as one value of the store."""
    return _pack({"rejected": result.rejected, "answer": result.answer}, result.image)


def unpack_raw(value: memoryview) -> InpaintResult | None:
    """What ``pack_raw`` wrote; copied. None where a record is damaged."""
    found = _unpack(value)
    if found is None:
        return None
    values, pixels = found
    answer = values.get("answer")
    return InpaintResult(
        None if pixels is None else pixels.copy(), values.get("rejected"), None if answer is None else tuple(answer)
    )


def _pack(values: dict[str, Any], pixels: np.ndarray | None) -> bytes:
    if pixels is not None:
        values = {**values, "shape": pixels.shape, "dtype": str(pixels.dtype)}
    text = json.dumps(values).encode()
    head = _HEAD.pack(_MAGIC, len(text)) + text
    if pixels is None:
        return head
    return head + bytes(-len(head) % _ALIGN) + np.ascontiguousarray(pixels).tobytes()


def _unpack(value: memoryview) -> tuple[dict[str, Any], np.ndarray | None] | None:
    try:
        magic, length = _HEAD.unpack_from(value)
        if magic != _MAGIC:
            return None
        values = json.loads(str(value[_HEAD.size : _HEAD.size + length], "utf-8"))
        shape, dtype = values.pop("shape", None), values.pop("dtype", None)
        if shape is None:
            return values, None
        if dtype not in _DTYPES:
            return None
        start = _HEAD.size + length
        start += -start % _ALIGN
        return values, np.frombuffer(value, dtype, math.prod(shape), start).reshape(shape)
    except (struct.error, ValueError, AttributeError, TypeError):
        return None
