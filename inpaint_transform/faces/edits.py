"""Edits in the sample: what was painted into it, as plain values that go through Compose and collate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from torch.utils.data._utils.collate import default_collate_fn_map

from inpaint_transform.core import blend
from inpaint_transform.core.edit import Outcome

# Of the longer side of the picture of a box before it was painted.
BEFORE_SIDE = 96


class Edits(list[dict[str, Any]]):
    """The edits of one sample. ``default_collate`` makes a list of these, one a sample, however many edits each has.

    Each is a dict: ``index`` (of its box, None for a region), ``box`` (pixel corners as it was painted), ``prompt``,
    ``label``, ``target``, ``accepted``, ``reason``, ``scores``, ``look`` (None without reuse), ``reuse`` (``"hit"``,
    ``"painted"``, ``"cold"``, or None without) and ``before``: the box before, ``(h, w, 3)`` uint8, shrunk to at most
    96 pixels.
    """


def _collated(batch: list[Edits], *, collate_fn_map: Any = None) -> list[Edits]:
    del collate_fn_map
    return list(batch)


default_collate_fn_map[Edits] = _collated


def behind(sample: Mapping[Any, Any], key: str, edits: Edits) -> Edits:
    """What a sample is to have under ``edits_key``: its new edits behind those of a transform before this one.

    Raises:
        ValueError: It has something else there.
    """
    before = sample.get(key, Edits())
    # What was replayed from JSON is a plain list.
    if not isinstance(before, list) or not all(isinstance(entry, Mapping) for entry in before):
        raise ValueError(
            f"edits_key={key!r}: the sample has that already, and it is a {type(before).__name__}; give another name"
        )
    return Edits([*before, *edits])


def edits_of(image: np.ndarray | None, outcomes: Sequence[Outcome]) -> Edits:
    """What became of the edits of a sample.

    Args:
        image: The image before, ``(H, W)`` or ``(H, W, C)``; None where there are no edits.
        outcomes: One an edit.
    """
    return Edits(_entry(image, outcome) for outcome in outcomes if image is not None)


def _entry(image: np.ndarray, outcome: Outcome) -> dict[str, Any]:
    edit = outcome.edit
    return {
        "index": edit.index,
        "box": list(edit.box),
        "prompt": edit.prompt,
        "label": edit.label,
        "target": edit.target,
        "accepted": outcome.accepted,
        "reason": outcome.reason,
        "scores": dict(outcome.scores),
        "look": edit.look.variant if edit.look is not None else None,
        "reuse": outcome.reuse,
        "before": _before(image, edit.box),
    }


def _before(image: np.ndarray, box: Sequence[int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    part = blend.to_rgb8(image[y0:y1, x0:x1])
    height, width = part.shape[:2]
    scale = BEFORE_SIDE / max(height, width, BEFORE_SIDE)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA)
