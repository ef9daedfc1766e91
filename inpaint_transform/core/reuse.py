"""Reuse: how often what was painted is used again, and where it is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.nearest import nearest_of

# Below this not even a few small looks fit beside the store's own pages.
MIN_BYTES = 1_000_000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@known_fields
@dataclass(frozen=True)
class Reuse:
    """Use what was painted again, and never wait for what is not painted yet.

    An edit then draws one of a few *looks* of its object. What a look is (prompt, attributes, target, strength, seed)
    follows from the pixels of the object's window, its box and label, and from the look's number, not from the epoch;
    so the same look is the same pixels, and a pool keeps them.

    What is reproducible: with ``frozen=True`` and a transform's ``seed``, two runs are equal to the bit, whatever the
    workers. With ``wait=True`` and ``seed`` they are equal until the first look is due, since when that is depends on
    the order in which workers count. With ``wait=False`` which look is drawn follows from ``seed``, but whether it is
    painted already does not: a run is repeated from its pool, frozen, or from its log.

    Attributes:
        variants: How many looks each object has, >= 1. Three for each of seven objects are 4^7 pictures.
        echo: Uses after which a look is due to be painted anew, >= 1. It serves on until its successor is there.
        wait: Whether a look that is missing is painted at once. Else it is painted in the background, and until then
            the original pixels are used, which counts as cold: no error and no rejection.
        path: Folder of the pool, which outlives the job; jobs on one machine may share it while they run, others may
            read it with ``frozen``. None for a pool that ends with the job.
        max_bytes: Most bytes of the pool on disk, as a number or like ``"4GB"``; at least 1 MB. Due looks go first.
        frozen: Only read the pool: nothing is painted, counted or replaced.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> Reuse.of({"variants": 5, "max_bytes": "200MB"}).bytes
        200000000
    """

    variants: int = 3
    echo: int = 8
    wait: bool = False
    path: str | None = None
    max_bytes: int | str = "4GB"
    frozen: bool = False

    def __post_init__(self) -> None:
        for name in ("variants", "echo"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"reuse has {name}={value!r}: use a whole number of at least 1")
        for name in ("wait", "frozen"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"reuse has {name}={getattr(self, name)!r}: use True or False")
        if self.path is not None:
            if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path):
                raise ValueError(f"reuse has path={self.path!r}: use a folder or None")
            # As text, so that it serialises.
            object.__setattr__(self, "path", os.fspath(self.path))
        if self.frozen and self.path is None:
            raise ValueError("reuse has frozen=True and path=None: give the path of a pool that is filled")
        if self.frozen and self.wait:
            raise ValueError("reuse has frozen=True and wait=True: a frozen pool paints nothing, leave one of them out")
        if self.bytes < MIN_BYTES:
            raise ValueError(f"reuse has max_bytes={self.max_bytes!r}: use at least '1MB'")

    @property
    def bytes(self) -> int:
        """``max_bytes`` as a number."""
        value = self.max_bytes
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)B?\s*", str(value).upper())
        if found is None or not isinstance(value, str):
            raise ValueError(f"reuse has max_bytes={value!r}: use a whole number of bytes or a text such as '4GB'")
        return int(float(found[1]) * _UNITS[found[2]])

    @classmethod
    def of(cls, value: Mapping[str, Any] | Reuse | None) -> Reuse | None:
        """Read what a transform's ``reuse`` may be: a dict of the fields, a ``Reuse`` or None.

        Raises:
            ValueError: An unknown field.
        """
        if value is None or isinstance(value, Reuse):
            return value
        known = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping) or not set(value) <= set(known):
            meant = nearest_of(value, known)
            raise ValueError(f"reuse={value!r}: give a dict with any of {', '.join(known)}, a Reuse or None{meant}")
        return cls(**value)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; ``of`` reads it back."""
        return asdict(self)
