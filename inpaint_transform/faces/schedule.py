"""Schedule: how much is repainted in which epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.nearest import nearest_of

_SCALES = ("p", "box_p")


@known_fields
@dataclass(frozen=True)
class Schedule:
    """A factor on a probability, by epoch: nothing before ``start``, a linear warm-up, and nothing at the end.

    Augmentation that changes what objects look like is commonly switched off for the last epochs, so that training
    ends on real pixels (YOLOX does so with mosaic for the last 15: https://arxiv.org/abs/2107.08430).

    Attributes:
        epochs: How many epochs the training has, >= 1.
        start: First epoch that repaints, counted from 0.
        warmup: Over how many epochs from ``start`` on the factor rises to 1.
        off_last: How many epochs at the end do not repaint.
        scales: ``"p"`` or ``"box_p"``: which of the two is multiplied.

    Raises:
        ValueError: A field is out of its range; the message names it, its value and the mend.

    Examples:
        >>> schedule = Schedule(epochs=8, start=1, warmup=2, off_last=2)
        >>> [round(schedule.factor(epoch), 2) for epoch in range(8)]
        [0.0, 0.33, 0.67, 1.0, 1.0, 1.0, 0.0, 0.0]
    """

    epochs: int
    start: int = 0
    warmup: int = 0
    off_last: int = 0
    scales: str = "p"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("start", 0), ("warmup", 0), ("off_last", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"schedule has {name}={value!r}: use a whole number of at least {least}")
        if self.start + self.off_last >= self.epochs:
            raise ValueError(
                f"schedule={asdict(self)!r} repaints in no epoch: start + off_last must be below epochs={self.epochs}"
            )
        if self.scales not in _SCALES:
            raise ValueError(f"schedule has scales={self.scales!r}: use one of {', '.join(_SCALES)}")

    @classmethod
    def of(cls, value: Mapping[str, Any] | Schedule | None) -> Schedule | None:
        """Read what a transform's ``schedule`` may be: a dict of the fields, a schedule or None.

        Raises:
            ValueError: An unknown field, or none for ``epochs``.
        """
        if value is None or isinstance(value, Schedule):
            return value
        known = list(cls.__dataclass_fields__)
        if not isinstance(value, Mapping) or "epochs" not in value or not set(value) <= set(known):
            meant = nearest_of(value, known)
            raise ValueError(f"schedule={value!r}: give a dict with 'epochs' and any of {', '.join(known[1:])}{meant}")
        return cls(**value)

    def to_dict(self) -> dict[str, Any]:
        """The schedule as JSON values; ``of`` reads it back."""
        return asdict(self)

    def factor(self, epoch: int) -> float:
        """The factor in [0, 1] for an epoch; epochs past the end have that of the last."""
        epoch = min(epoch, self.epochs - 1)
        if not self.start <= epoch < self.epochs - self.off_last:
            return 0.0
        return min(1.0, (epoch - self.start + 1) / (self.warmup + 1))
