"""Who paints: the protocol that the faces speak, whatever is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inpaint_transform.messages import InpaintRequest, InpaintResult


class Inpainter(Protocol):
    """Paints working crops. Safe to call from several threads; results come in the order of the requests."""

    @property
    def size(self) -> int:
        """Side of the working crop in pixels that the loaded model wants."""
        ...

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request, batched as the model allows."""
        ...

    def close(self) -> None:
        """Free the model, or let go of the server."""
        ...
