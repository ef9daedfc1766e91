"""The plan of a run: how many steps of what, and from which numbers that comes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

# Meant for an hour on two cores, a long day on one, and a GPU.
DEFAULTS: dict[str, dict[str, Any]] = {
    "small": {"steps": 3000, "batch": 16, "steps_of_autoencoder": 1000, "steps_of_decoder": 1000},
    "nothing": {"steps": 20_000, "batch": 32, "steps_of_autoencoder": 12_000, "steps_of_decoder": 4000},
    "LoRA": {"steps": 800, "batch": 4, "steps_of_autoencoder": 0, "steps_of_decoder": 0},
}
# How many examples are drawn and encoded: so many a box, within bounds.
CROPS = {"small": (40, 1000, 4000), "nothing": (40, 1000, 20_000), "LoRA": (8, 200, 2000)}
MAX_PIXEL_CROPS = 8000


@dataclass(frozen=True)
class Plan:
    """How a run trains.

    Attributes:
        kind: ``"small"`` or ``"nothing"`` for all weights of a small model, ``"LoRA"``.
        steps: Steps of the denoiser; 0 leaves a small model's as it is.
        batch: Examples a step.
        crops: Examples that are drawn and encoded.
        rank: Of the LoRA.
        rate: Learning rate of the denoiser; None for the default.
        seed: Decides on every draw.
        every: After how many steps of the denoiser the held-out loss is measured and a checkpoint written.
        steps_of_autoencoder: Steps of the autoencoder.
        steps_of_decoder: Steps of its decoder against a critic.
        steps_of_adversary: Steps of the denoiser against a critic, after which it paints in few steps.
        batch_of_autoencoder: Crops a step of these.
        crops_of_autoencoder: Crops that are kept for these.
    """

    kind: str
    steps: int
    batch: int
    crops: int
    rank: int
    rate: float | None
    seed: int
    steps_of_autoencoder: int
    steps_of_decoder: int
    steps_of_adversary: int = 0
    every: int = 100
    batch_of_autoencoder: int = 8
    crops_of_autoencoder: int = MAX_PIXEL_CROPS

    def __post_init__(self) -> None:
        # A small model's decoder may be trained alone: one step of Adam already moves every weight by the whole rate.
        stages = dict.fromkeys(("steps_of_autoencoder", "steps_of_adversary", "steps_of_decoder"), 0)
        least = {"steps": 0 if self.kind == "small" else 1, "batch": 1, "crops": 1, "rank": 1, "every": 1, **stages}
        for field, lowest in least.items():
            value = getattr(self, field)
            if not isinstance(value, int) or value < lowest:
                why = " (it is a LoRA of this base that is trained)" if self.kind == "LoRA" and field == "steps" else ""
                raise ValueError(f"{field}={value!r}: use a whole number of at least {lowest}{why}")
        if self.rate is not None and not 0 < self.rate < 1:
            raise ValueError(f"rate={self.rate!r}: use a learning rate in (0, 1), or None for the default")

    def fingerprint(self) -> dict[str, Any]:
        """What a run that goes on must have in common with the one it continues.

        That is all but how long denoiser and decoder train, against a critic or not, and how fast the denoiser learns:
        none of these changes the latents that were cached.
        """
        values = dataclasses.asdict(self)
        del values["steps"], values["steps_of_adversary"], values["steps_of_decoder"], values["rate"]
        return values


def make_plan(kind: str, boxes: int, **wanted: Any) -> Plan:
    """The plan for a number of boxes; what is wanted as None takes its default.

    Raises:
        ValueError: A number is out of its range.
    """
    each, least, most = CROPS[kind]
    crops = min(max(each * boxes, least), most)
    values = {**DEFAULTS[kind], "crops": crops, "rank": 16, "rate": None, "seed": 0}
    values |= {name: value for name, value in wanted.items() if value is not None}
    return Plan(kind=kind, **values, crops_of_autoencoder=min(values["crops"], MAX_PIXEL_CROPS))
