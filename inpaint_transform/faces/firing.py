"""Whether a sample fires: by which generator ``p`` is decided, and with which factor of the schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from inpaint_transform.core import seeds
from inpaint_transform.faces.schedule import Schedule


class Keyed(Protocol):
    """A sample that says what content-keyed draws depend on."""

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        """The image and the boxes ``(N, >= 4)`` over its sides."""
        ...


@dataclass(frozen=True)
class Firing:
    """How one transform decides; ``Editor.draw`` asks it, and nobody else does.

    Attributes:
        seed: Seed of content-keyed draws, or None.
        schedule: How a probability changes over the epochs, or None.
    """

    seed: int | None
    schedule: Schedule | None

    def factor(self, scales: str, epoch: int) -> float:
        """What the schedule multiplies ``"p"`` or ``"box_p"`` by in an epoch."""
        if self.schedule is None or self.schedule.scales != scales:
            return 1.0
        return self.schedule.factor(epoch)

    def generator(self, sample: Keyed, epoch: int, stream: random.Random | None) -> random.Random:
        """The generator of all draws for a sample.

        With ``seed`` it follows from the sample's content; without, it is the stream, or else a new one from torch's
        global generator.
        """
        if self.seed is not None:
            return seeds.content_rng(self.seed, epoch, *sample.key())
        if stream is not None:
            return stream
        return random.Random(int(torch.randint(2**63 - 1, ())))  # noqa: S311 - augmentation, not cryptography

    def decide(
        self, sample: Keyed, p: float, epoch: int, stream: random.Random | None = None, *, forced: bool = False
    ) -> random.Random | None:
        """Decide whether a sample fires.

        Args:
            sample: The sample.
            p: The probability that it fires, in [0, 1], before the schedule.
            epoch: The epoch.
            stream: The generator that the face's framework keeps for the transform.
            forced: Whether the framework has decided already, so that only the schedule may still say no.

        Returns:
            The generator of its further draws; None where it does not fire.
        """
        rng = self.generator(sample, epoch, stream)
        chance = (1.0 if forced else p) * self.factor("p", epoch)
        # A stream is also others', and moves on only where there is something to decide.
        decided = chance >= 1 and (forced or rng is stream)
        return rng if decided or rng.random() < chance else None
