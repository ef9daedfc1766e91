"""Looks: the few ways in which one object is painted, and what is kept of each.

Which look an edit shows follows from the content of its object, so the same pixels get the same edit again, in any
epoch, process and job; and what was painted for it can be found by a key made of the edit and of those pixels.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import xxhash

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import ClassNames, Label, class_name
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.seeds import DIGEST_GRID

KEY_BYTES = 16


def content_digest(image: np.ndarray, box: Box, window: Box) -> bytes:
    """What an object shows: its box to the bit, and its surroundings on an even grid of at most 64x64 pixels.

    Where the window lies in the image does not count, so an object that is moved with its surroundings stays the same.
    A painted look covers pixels of the box only; the surroundings are what the model saw.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any dtype.
        box: Pixel box inside the window.
        window: Pixel window inside the image.

    Returns:
        16 bytes.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = window
    inside = [box[0] - left, box[1] - top, box[2] - left, box[3] - top]
    # Blending differs where the window ends with the image.
    ends = [left == 0, top == 0, right == width, bottom == height]
    # Not a cryptographic one: those take a third of a hit's time, and nobody attacks their own training data.
    digest = xxhash.xxh3_128()
    digest.update(f"{right - left}x{bottom - top}|{inside}|{ends}|{image.shape[2:]}|{image.dtype.str}".encode())
    rows, columns = -(-(bottom - top) // DIGEST_GRID), -(-(right - left) // DIGEST_GRID)
    digest.update(np.ascontiguousarray(image[top:bottom:rows, left:right:columns]).data)
    digest.update(np.ascontiguousarray(image[box[1] : box[3], box[0] : box[2]]).data)
    return digest.digest()


def look_rng(content: bytes, label: object, variant: int, generation: int) -> random.Random:
    """The source of every draw for one look of one object."""
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(f"|{label}|{variant}|{generation}".encode())
    return random.Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311 - augmentation, not cryptography


def look_key(edit: Edit, content: bytes, settings: bytes, class_names: ClassNames = None) -> bytes:
    """The key of what an edit paints: 16 bytes from the edit, the pixels that it is painted from, and the settings.

    Args:
        edit: The edit; where it lies in the image and which box it is does not count.
        content: ``content_digest`` of its pixels.
        settings: What else changes pixels or verdicts: model, blending, gate.
        class_names: Names of labels that are ids: a class is the same under its id and under its name.
    """
    left, top = edit.window[:2]
    values = {
        "label": class_name(edit.label, class_names),
        "new_label": None if edit.new_label is None else class_name(edit.new_label, class_names),
        "prompt": edit.prompt,
        "negative_prompt": edit.negative_prompt,
        "strength": edit.strength,
        "seed": edit.seed,
        "outline": edit.outline and [(x - left, y - top) for x, y in edit.outline],
        "protected": [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in edit.protected],
        "mask_runs": edit.mask_runs,
    }
    if edit.reference is not None:
        values["reference"] = edit.reference.digest
    digest = hashlib.blake2b(content + settings, digest_size=KEY_BYTES)
    digest.update(json.dumps(values, default=str).encode())
    return digest.digest()


@dataclass(frozen=True, eq=False)
class Kept:
    """What a pool keeps of one painted look.

    Attributes:
        accepted: Whether its pixels go into images.
        reason: Why not, or None.
        seed: The noise seed of the last attempt.
        attempts: How many times the model was asked.
        scores: What each gate said, by its name.
        final: Whether that is the last word; otherwise another attempt is due before the look is given up.
        box: The part of the window that is painted: the bounding rectangle of the mask.
        pixels: That part as it goes into the image, ``(h, w)`` or ``(h, w, c)`` in the image's dtype; None where
            nothing was accepted.
        label: The class of what was painted: its label, or of an id its name.
        prompt: What was painted.
        model: The model's id.
        epoch: The epoch in which it was painted.
        painted_at: When, in seconds since 1970.
    """

    accepted: bool
    reason: str | None
    seed: int
    attempts: int
    scores: Mapping[str, float] = field(default_factory=dict)
    final: bool = True
    box: Box = (0, 0, 0, 0)
    pixels: np.ndarray | None = None
    label: Any = None
    prompt: str = ""
    model: str = ""
    epoch: int = 0
    painted_at: float = 0.0


class LooksView(Protocol):
    """A pool at one moment; the pixels of its looks are views that end with it."""

    def find(self, key: bytes) -> Kept | None:
        """The look that is kept under a key."""
        ...

    def painted(self, key: bytes, attempt: int) -> InpaintResult | None:
        """What was painted in the background and nobody has judged yet; copied."""
        ...


class Looks(Protocol):
    """Where painted looks are kept and found; the pool is one.

    Attributes:
        wait: Whether what is missing is painted at once.
        settings: The part of ``look_key`` that does not depend on the edit.
    """

    wait: bool
    settings: bytes

    def reading(self) -> AbstractContextManager[LooksView]:
        """The pool at this moment, for some lookups and copies."""
        ...

    def keep(self, key: bytes, kept: Kept, edit: Edit) -> None:
        """Keep a look; returns at once."""
        ...

    def flush(self) -> None:
        """Return when what was given to ``keep`` can be found."""
        ...

    def paint_later(self, key: bytes, attempt: int, request: Callable[[int], InpaintRequest]) -> None:
        """Have something painted in the background; returns at once.

        Args:
            key: The look.
            attempt: Which attempt at it.
            request: Makes the request from the side of the working crop; called later, in another thread.
        """
        ...


class LookDrawer(Protocol):
    """Who decides which look of an object of one sample an edit shows."""

    def draw(
        self, box: Box, window: Box, label: Label, edit: Callable[[random.Random], Edit], rng: random.Random
    ) -> Edit:
        """Draw a look of an object.

        Args:
            box: The object.
            window: What the model will see.
            label: The object's label.
            edit: Makes the edit from a source of draws.
            rng: The sample's own source of draws.
        """
        ...

    def region_rng(self, rng: random.Random) -> random.Random:
        """The source of draws for a region of an image without objects, so that regions come again too."""
        ...
