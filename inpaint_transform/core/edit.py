"""Edits: the plan for one box, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint_transform.core import crops, masks
from inpaint_transform.core.boxes import Box, Outline, intersection, relative, sides
from inpaint_transform.core.labels import Label
from inpaint_transform.core.references import Reference


@dataclass(frozen=True)
class Look:
    """Which look of which object an edit shows.

    Attributes:
        content: Digest of the object, as hex; see ``looks.content_digest``.
        slot: Where the pool counts its uses, as hex.
        variant: Number of the variant, from 0.
        generation: How often the variant was painted anew.
    """

    content: str
    slot: str
    variant: int
    generation: int


@dataclass(frozen=True)
class Edit:
    """One box to repaint: scalars and strings only, so a list of edits is JSON, replays and logs.

    Attributes:
        index: Position of the box among the sample's boxes, or None for a random region.
        box: Pixel box in the image.
        window: The part of the image that the model sees.
        label: The box's label.
        prompt: What to paint.
        negative_prompt: What to avoid; empty for nothing.
        strength: How far to leave the old pixels, in (0, 1].
        seed: Seed of the noise, in [0, 2**63).
        outline: Corners of the polygon in the box that is painted, e.g. of a rotated box; None for the whole box.
        new_label: What the label becomes once the painted pixels are accepted; None where it stays.
        protected: Pixel boxes whose pixels stay as they are.
        mask_runs: Run lengths of the part of the box that is painted, see ``masks.encode_rle``; None where the box, its
            shape or the outline say it.
        look: Which look of its object it shows, with ``reuse``; None without.
        reference: The picture that it is painted after; None without.
    """

    index: int | None
    box: Box
    window: Box
    label: Label
    prompt: str
    negative_prompt: str
    strength: float
    seed: int
    outline: Outline | None = None
    new_label: Label = None
    protected: tuple[Box, ...] = ()
    mask_runs: tuple[int, ...] | None = None
    look: Look | None = None
    reference: Reference | None = None

    @property
    def target(self) -> Label:
        """The label of what is painted."""
        return self.label if self.new_label is None else self.new_label

    @property
    def box_in_window(self) -> Box:
        """Where the box lies in the window."""
        return relative(self.box, self.window)

    def to_dict(self) -> dict[str, Any]:
        """The edit as JSON values; without a look or a reference it has no such entry."""
        # Not asdict() of the whole, whose deep copies of scalars and tuples take a tenth of a hit's time.
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("look", "reference"):
            if values[name] is None:
                del values[name]
            else:
                values[name] = dataclasses.asdict(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Edit:
        """Read back what ``to_dict`` gave, also after JSON has turned tuples into lists."""
        outline, lengths = values.get("outline"), values.get("mask_runs")
        return cls(
            **{
                **values,
                "box": tuple(values["box"]),
                "window": tuple(values["window"]),
                "outline": outline and tuple((float(x), float(y)) for x, y in outline),
                "protected": tuple(tuple(box) for box in values.get("protected", ())),
                "mask_runs": lengths and tuple(lengths),
                "look": Look(**values["look"]) if values.get("look") else None,
                "reference": Reference(**values["reference"]) if values.get("reference") else None,
            }
        )

    def mask(self, shape: str) -> np.ndarray:
        """What is painted of the window: ``(window height, window width)`` bool."""
        if self.mask_runs is not None:
            width, height = sides(self.box)
            mask = masks.embed(masks.decode_rle(self.mask_runs, height, width), self.box, self.window)
        elif self.outline is not None:
            mask = masks.outline_mask(self.outline, self.window, shape)
        else:
            mask = masks.shape_mask(self.box, self.window, shape)
        masks.clear(mask, self.window, self.protected)
        return mask

    def fitted(self, height: int, width: int) -> Edit | None:
        """The edit inside an image of possibly another size than it was planned for; None where no pixel is left."""
        frame = (0, 0, width, height)
        if intersection(self.box, frame) == self.box and intersection(self.window, frame) == self.window:
            return self
        box = intersection(self.box, frame)
        if box is None:
            return None
        context = max(sides(self.window)) / max(sides(self.box))
        lengths = self.mask_runs
        if lengths is not None:
            old_width, old_height = sides(self.box)
            mask = masks.decode_rle(lengths, old_height, old_width)
            left, top = box[0] - self.box[0], box[1] - self.box[1]
            lengths = masks.encode_rle(mask[top : top + sides(box)[1], left : left + sides(box)[0]])
        return dataclasses.replace(
            self, box=box, window=crops.context_window(box, height, width, context), mask_runs=lengths, look=None
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one edit.

    Attributes:
        edit: The edit.
        accepted: Whether its pixels are in the image; otherwise the original pixels are.
        reason: Why the last attempt was rejected, or None.
        seed: The noise seed of the last attempt.
        attempts: How many times the model was asked.
        scores: What each gate said of the last attempt that came so far, by the gate's name.
        milliseconds: How long the calls took that this edit had a part in, without the start of model and server.
        before: The window's original pixels, ``(h, w, 3)`` uint8.
        after: Call it for the window as the last attempt would have it; None where the model gave no picture.
        reuse: With a pool, ``"hit"`` (a look that was there), ``"painted"`` or ``"cold"`` (not painted yet, so the
            original pixels stay); None without.
    """

    edit: Edit
    accepted: bool
    reason: str | None
    seed: int
    attempts: int
    scores: Mapping[str, float]
    milliseconds: float
    before: np.ndarray
    after: Callable[[], np.ndarray | None]
    reuse: str | None = None


def failed(edit: Edit, reason: str) -> Outcome:
    """The outcome of an edit that could not even be tried."""
    return Outcome(edit, False, reason, edit.seed, 0, {}, 0.0, np.zeros((0, 0, 3), np.uint8), lambda: None)
