"""What to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.reuse import Reuse

BATCHES = (1, 2, 4, 8, 16)
# A measurement that gets too few batches in its time goes on, but not for longer than this many times its time.
PATIENCE = 6
# Looks of each object, in a pool as a training has it that says nothing else.
VARIANTS = Reuse().variants
# Boxes whose looks are painted for it: enough to be read from disk as a training's are, and painted in a minute or two.
MAX_POOLED = 24


@dataclass(frozen=True)
class Case:
    """A DataLoader that is measured.

    Attributes:
        workers: Of the loader.
        p: Of the transform.
        concurrent: Whether it uses ``ConcurrentDataset``.
    """

    workers: int
    p: float
    concurrent: bool = False


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

    @property
    def shared(self) -> bool:
        """Whether any loader has workers, which share a server."""
        return any(self.workers)

    def loaders(self, shared: bool) -> list[Case]:
        """The loaders that are measured: those whose workers share a server, or those without workers."""
        workers = [count for count in self.workers if (count > 0) == shared]
        return [Case(count, p, concurrent) for count in workers for concurrent in (False, True) for p in self.p]

    def pooled(self) -> list[Case]:
        """The loaders that are measured again with a full pool, each with edits."""
        return [case for case in self.loaders(self.shared) if case.p > 0 and not case.concurrent]

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values, model and transform apart."""
        return {
            "workers": list(self.workers),
            "p": list(self.p),
            "batch_size": self.batch_size,
            "seconds": self.seconds,
        }


# Few and short runs; most of the time goes into the starting of processes.
QUICK: dict[str, Any] = {"workers": (0, 2), "p": (0.0, 0.25, 1.0), "batch_size": 4, "seconds": 1.5}
