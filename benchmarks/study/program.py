"""The files of this program that a result depends on; what they say is part of the digest of each run and each bank.

A study takes days: with a line of these changed its trainings begin anew, so that no table mixes two programs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import inpaint_transform

_STUDY = Path(__file__).parent
_PACKAGE = Path(inpaint_transform.__file__).parent


def _files(folder: Path, names: str) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.py" for name in names.split())


PAINTING = (
    *_files(_STUDY, "bank painters patches sets sharpness"),
    *_files(_PACKAGE / "core", "balancing blend crops feather masks paint plan swaps"),
    *_files(_PACKAGE / "gates", "base clip pixels"),
)
TRAINING = (
    *_files(_STUDY, "classical detector feed score train"),
    *_files(_PACKAGE / "fit", "denoise heatmap"),
)
# A generator of the draw's own pictures.
FITTING = tuple(sorted((_PACKAGE / "fit").glob("*.py")))


def digest(files: Iterable[Path]) -> str:
    """What some files say, in short."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
