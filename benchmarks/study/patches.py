"""Patches: what painted boxes change of the pictures of a draw, as plain data that is kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

KINDS = ("prior", "identity", "closed", "closed-identity", "paste", "insert")


@dataclass(frozen=True)
class Painting:
    """What is painted.

    Attributes:
        kind: ``"prior"`` (a model that has seen other pictures of the domain), ``"closed"`` (one that was fitted on
            the draw's pictures alone), ``"identity"`` and ``"closed-identity"`` (the round trip of their
            autoencoders), ``"paste"`` (real objects in place of others of their class), ``"insert"`` (real objects,
            every class equally often, where none is).
        variants: How many paintings of each box.
        swap: Only boxes of frequent classes that fit a rare one, painted as that one.
        steps: Denoising steps; None for the model's own.
        words: ``"right"`` or ``"scrambled"``: each class asked for by the name of another.
        matched: Whether painted boxes are made as sharp as real ones of their class and size.
        fit_steps: Of a closed generator: steps of autoencoder, decoder and denoiser.
    """

    kind: str = "prior"
    variants: int = 6
    swap: bool = False
    steps: int | None = None
    words: str = "right"
    matched: bool = False
    fit_steps: tuple[int, int, int] = (1500, 300, 4000)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}: use one of {', '.join(KINDS)}")
        if self.words not in ("right", "scrambled"):
            raise ValueError(f"words={self.words!r}: use 'right' or 'scrambled'")
        if self.variants < 1:
            raise ValueError(f"variants={self.variants!r}: use a count of at least 1")

    @property
    def generated(self) -> bool:
        """Whether a model paints, so that there is something for a gate to judge."""
        return self.kind in ("prior", "closed")

    @property
    def prior(self) -> bool:
        """Whether a model that has seen other pictures has a part in it."""
        return self.kind in ("prior", "identity")

    @property
    def closed(self) -> bool:
        """Whether a model has, and has seen the draw's pictures alone."""
        return self.kind in ("closed", "closed-identity")


@dataclass(frozen=True, eq=False)
class Patch:
    """One painted box.

    Attributes:
        row: Number of the picture in the draw.
        slot: Number of the box in the picture; below 0 for a new object.
        kind: Position of its class, which a swap has changed.
        box: ``(4,)`` corners where the detector sees them.
        corner: x and y of the patch in the picture.
        pixels: ``(h, w, 3)`` uint8.
        changed: ``(h, w)`` bool: which of them differ from the picture.
        accepted: Whether the gate takes it.
    """

    row: int
    slot: int
    kind: int
    box: np.ndarray
    corner: tuple[int, int]
    pixels: np.ndarray
    changed: np.ndarray
    accepted: bool


@dataclass(frozen=True, eq=False)
class Bank:
    """The patches of a draw, and boxes as they were painted: ``(N, 64, 64, 3)`` uint8."""

    patches: list[Patch]
    crops: np.ndarray

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        every = self.patches
        flat = [patch.pixels.reshape(-1) for patch in every]
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                rows=np.array([patch.row for patch in every], np.int32),
                slots=np.array([patch.slot for patch in every], np.int32),
                kinds=np.array([patch.kind for patch in every], np.int32),
                boxes=np.array([patch.box for patch in every], float).reshape(-1, 4),
                places=np.array([(*patch.corner, *patch.changed.shape) for patch in every], int).reshape(-1, 4),
                accepted=np.array([patch.accepted for patch in every], bool),
                pixels=np.concatenate(flat) if flat else np.zeros(0, np.uint8),
                changed=np.concatenate([patch.changed.reshape(-1) for patch in every]) if every else np.zeros(0, bool),
                crops=self.crops,
            )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read what ``save`` wrote."""
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files}
        areas = kept["places"][:, 2] * kept["places"][:, 3]
        ends = np.cumsum(areas)
        patches = []
        for number, (x, y, height, width) in enumerate(kept["places"].tolist()):
            part = slice(ends[number] - areas[number], ends[number])
            patches.append(
                Patch(
                    int(kept["rows"][number]),
                    int(kept["slots"][number]),
                    int(kept["kinds"][number]),
                    kept["boxes"][number],
                    (x, y),
                    kept["pixels"][3 * part.start : 3 * part.stop].reshape(height, width, 3),
                    kept["changed"][part].reshape(height, width),
                    bool(kept["accepted"][number]),
                )
            )
        return cls(patches, kept["crops"])
