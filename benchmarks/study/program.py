"""The files of this program that a result depends on; what they say is part of the digest of each run and each bank.

A study takes days: with a line of these changed its trainings begin anew, so that no table mixes two programs. Run
it in a checkout of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import inpaint_transform

_STUDY = Path(__file__).parent
_PACKAGE = Path(inpaint_transform.__file__).parent
# What decides on no result of a training: which there are, and what is said of them.
_OTHERS = {"__init__", "__main__", "parts", "program", "publish"}
# Whole rooms: of a list of modules somebody forgets the new one.
ROOMS = ("core", "engine", "fit", "gates")

FILES = (
    _STUDY.parent / "tiny" / "data.py",
    *(file for file in sorted(_STUDY.glob("*.py")) if file.stem not in _OTHERS),
    *(file for room in ROOMS for file in sorted((_PACKAGE / room).rglob("*.py"))),
)


def digest(files: Iterable[Path]) -> str:
    """What some files say, in short."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
