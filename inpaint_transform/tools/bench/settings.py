"""What to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inpaint_transform.core.models import ModelSpec

BATCHES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Settings:
    """What to measure, and for how long.

    Attributes:
        model: The model; where it runs is decided by each measurement.
        workers: Numbers of DataLoader workers, each >= 0.
        p: Probabilities of the transform, each in [0, 1]; 0 joins them by itself, for what a loader does without edits
            is part of every advice.
        batch_size: Samples in a mini-batch of the loader, >= 1.
        seconds: Least time of each measurement, > 0; one takes longer where too few batches come in it.
        arguments: The other arguments of the transform, which say what is painted and who judges.

    Raises:
        ValueError: A field is out of its range.
    """

    model: ModelSpec
    workers: tuple[int, ...] = (0, 2, 4, 8)
    p: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0)
    batch_size: int = 8
    seconds: float = 8.0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in self.workers:
            if value < 0:
                raise ValueError(f"workers={value}: use whole numbers of at least 0")
        for share in self.p:
            if not 0 <= share <= 1:
                raise ValueError(f"p={share:g}: use probabilities in [0, 1]")
        if not self.workers or not self.p:
            raise ValueError("workers and p: give at least one value of each")
        object.__setattr__(self, "p", tuple(sorted({0.0, *self.p})))
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: use at least 1")
        if not self.seconds > 0:
            raise ValueError(f"seconds={self.seconds:g}: use a number above 0")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values, model and transform apart."""
        return {
            "workers": list(self.workers),
            "p": list(self.p),
            "batch_size": self.batch_size,
            "seconds": self.seconds,
        }


# Under two minutes on two cores with the embedded model, most of it the starting of processes.
QUICK: dict[str, Any] = {"workers": (0, 2), "p": (0.0, 0.25, 1.0), "batch_size": 4, "seconds": 1.5}
