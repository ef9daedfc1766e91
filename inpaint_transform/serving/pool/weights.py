"""Weights on this machine's disk are known by what is in them: where they lie says little, and they are fitted anew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from inpaint_transform.core.models import PLACES, ModelSpec

# Of a file, so many blocks are read, evenly over it: training changes every tensor, and a large model has gigabytes.
BLOCKS, BLOCK_BYTES = 64, 4096
# How files of weights end, of diffusers and transformers as of others; older ones are pickled.
WEIGHTS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")


def digest_of(spec: ModelSpec, clip: str | None = None) -> str | None:
    """A digest of all weights that a model takes from this machine's disk, wherever they lie.

    Args:
        spec: The model.
        clip: The CLIP model of a gate.

    Returns:
        16 hexadecimal digits; None where nothing is on this disk, for instance with a hub id.
    """
    resolved = spec.resolved()
    named = [getattr(resolved, name) for name in PLACES]
    others = [place for place, _ in resolved.loras] + [place for _, place in resolved.words]
    digest, found = hashlib.blake2b(digest_size=8), False
    for place in [*named, *others, clip]:
        for name, file in _files(Path(place)) if place is not None else ():
            digest.update(f"{name}|{file.stat().st_size}|".encode())
            digest.update(_sample(file))
            found = True
    return digest.hexdigest() if found else None


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """The weights at a place, with their names there; other files, such as a card with its date, change no pixel."""
    if place.is_file():
        yield place.suffix, place
    elif place.is_dir():
        for file in sorted(place.rglob("*")):
            if file.suffix in WEIGHTS and file.is_file():
                yield file.relative_to(place).as_posix(), file


def _sample(file: Path) -> bytes:
    """Some of what is in a file, or all of a small one."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        if size <= BLOCKS * BLOCK_BYTES:
            return opened.read()
        parts = []
        for number in range(BLOCKS):
            opened.seek(number * (size - BLOCK_BYTES) // (BLOCKS - 1), os.SEEK_SET)
            parts.append(opened.read(BLOCK_BYTES))
        return b"".join(parts)
