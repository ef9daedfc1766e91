"""Nearest: the word that was probably meant, said beside an error or a warning."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


def nearest(word: str, known: Sequence[str], likeness: float = 0.6) -> str:
    """A hint at the word that was probably meant, as the end of a sentence; empty where none is near.

    Args:
        word: What was given.
        known: What it could be.
        likeness: How alike they must be, in [0, 1], by difflib's ratio.
    """
    same = [one for one in known if one.casefold() == word.casefold()]
    found = same or difflib.get_close_matches(word, known, n=1, cutoff=likeness)
    return f"; did you mean {found[0]!r}?" if found else ""


def nearest_of(given: object, known: Sequence[str]) -> str:
    """The same as ``nearest`` for the first key of a mapping that is none of them; empty where all are."""
    unknown = [str(key) for key in given if key not in known] if isinstance(given, Mapping) else []
    return nearest(unknown[0], known) if unknown else ""
