"""References: pictures of the objects to paint, given by label as files or arrays.

What is drawn for an edit is the name of one and the digest of its pixels, so that edits stay small, replay, and say
when a file has changed. The pixels themselves are read when they are first needed, and kept.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.core.labels import Label, lookup
from inpaint_transform.core.protocol import REFERENCE_SIDE

# Less shows nothing of an object.
MIN_SIDE = 16
# Of the last used files, 0.8 MB each.
FILES_KEPT = 64


@dataclass(frozen=True)
class Reference:
    """Which picture an edit is painted after.

    Attributes:
        digest: Of its pixels as the model gets them, as hex.
        source: The file that it came from; None for an array.
    """

    digest: str
    source: str | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as models get it.

    Attributes:
        square: ``(REFERENCE_SIDE, REFERENCE_SIDE, 3)`` uint8, RGB; not to be written to.
        digest: Of these pixels, as hex.
    """

    square: np.ndarray
    digest: str


class File(str):
    """A path at which there was a file."""

    __slots__ = ()


Picture = File | Seen
References = Mapping[Any, Sequence[Any]]


def read(references: References | None) -> Mapping[Any, Sequence[Picture]] | None:
    """Check references as early as possible, and bring arrays into the form that models get.

    Args:
        references: Pictures by label, files or ``(height, width, 3)`` uint8 arrays, or what this function gave.

    Raises:
        ValueError: It is no mapping to lists, a file is missing, or an array is no picture.
    """
    if references is None:
        return None
    if not isinstance(references, Mapping) or not references:
        raise ValueError(f"reference={references!r}: give {{label: [files or arrays]}}, or None")
    found: dict[Any, Sequence[Picture]] = {}
    for label, pictures in references.items():
        if isinstance(pictures, str) or not isinstance(pictures, Sequence) or not pictures:
            raise ValueError(f"reference={{{label!r}: ...}}: give a list with at least one file or array")
        found[label] = [_read_picture(label, picture) for picture in pictures]
    return found


def _read_picture(label: Label, picture: Any) -> Picture:
    if isinstance(picture, Seen | File):
        return picture
    if isinstance(picture, str | os.PathLike):
        if not Path(picture).is_file():
            raise ValueError(
                f"reference={{{label!r}: [{os.fspath(picture)!r}]}}: there is no such file; it was looked for in "
                f"{Path(picture).absolute().parent}"
            )
        return File(os.fspath(picture))
    if not isinstance(picture, np.ndarray):
        raise ValueError(
            f"reference={{{label!r}: [...]}}: a {type(picture).__name__} is neither a file nor an array; give "
            f"np.asarray(picture)"
        )
    if picture.ndim not in (2, 3) or min(picture.shape) == 0 or min(picture.shape[:2]) < MIN_SIDE:
        fits = False
    else:
        fits = picture.dtype == np.uint8
    if not fits:
        raise ValueError(
            f"reference={{{label!r}: [...]}}: an array of shape {picture.shape} and dtype {picture.dtype}; give uint8 "
            f"of shape (height, width, 3), RGB, of at least {MIN_SIDE} pixels a side"
        )
    return _seen(picture)


def draw(references: References | None, label: Label, rng: random.Random) -> Reference | None:
    """Draw the picture that an edit is painted after; None for a label that has none, without a draw.

    Args:
        references: What ``read`` gave.
        label: The label of the object to paint.
        rng: Source of the draw.

    Raises:
        ValueError: The file is no picture.
    """
    pictures = None if references is None else lookup(references, label)
    if not pictures:
        return None
    picture = rng.choice(pictures)
    return Reference(picture.digest) if isinstance(picture, Seen) else Reference(_open(picture).digest, str(picture))


def find(references: References | None, wanted: Reference) -> np.ndarray:
    """The pixels of a picture that was drawn.

    Args:
        references: What ``read`` gave. An array is found among them, a file by its name.
        wanted: What was drawn.

    Returns:
        ``(REFERENCE_SIDE, REFERENCE_SIDE, 3)`` uint8, RGB; not to be written to.

    Raises:
        ValueError: The file is gone or has changed, or the array is not among the references.
    """
    if wanted.source is not None:
        found = _open(wanted.source)
        if found.digest != wanted.digest:
            raise ValueError(
                f"reference {wanted.source!r}: the file has changed since this edit was planned; put the old one back"
            )
        return found.square
    arrays = [one for pictures in (references or {}).values() for one in pictures if isinstance(one, Seen)]
    square = next((one.square for one in arrays if one.digest == wanted.digest), None)
    if square is None:
        raise ValueError(
            "reference: this edit was painted after an array, which only the transform that had it can give; give"
            " files to replay edits"
        )
    return square


def _open(path: str) -> Seen:
    """A file as models get it."""
    try:
        status = Path(path).stat()
        return _decoded(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ValueError(f"reference {path!r}: cannot be read ({error.strerror}); put the file back") from error


@functools.lru_cache(maxsize=FILES_KEPT)
def _decoded(path: str, changed: int, size: int) -> Seen:
    import cv2

    del changed, size  # a file that was written anew is another key
    coded = np.fromfile(path, np.uint8)
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
    if decoded is None:
        raise ValueError(f"reference {path!r}: is no picture that OpenCV reads; give a PNG or JPEG file")
    if min(decoded.shape[:2]) < MIN_SIDE:
        raise ValueError(f"reference {path!r}: is {decoded.shape[1]} x {decoded.shape[0]} pixels; give a larger one")
    return _seen(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _seen(picture: np.ndarray) -> Seen:
    """A picture whole, in the middle of a square whose rest continues its border."""
    # Here, for whoever only looks at a recipe has no picture.
    import cv2

    from inpaint_transform.core import blend

    rgb = blend.to_rgb8(picture)
    height, width = rgb.shape[:2]
    scale = REFERENCE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (REFERENCE_SIDE - size[0]) // 2, (REFERENCE_SIDE - size[1]) // 2
    right, bottom = REFERENCE_SIDE - size[0] - left, REFERENCE_SIDE - size[1] - top
    square = np.ascontiguousarray(cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE))
    square.flags.writeable = False
    return Seen(square, hashlib.sha1(square.data, usedforsecurity=False).hexdigest())
