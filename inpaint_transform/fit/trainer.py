"""The training loop: one for everything that is trained here, and one that a kill at any moment does not hurt.

The random numbers of a step come from the seed and the step's number alone, so a checkpoint needs no generator's state:
whoever goes on from it draws what an unbroken run would have drawn, and ends with the same weights.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from inpaint_transform.core.errors import InpaintError

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

# Steps in which the rate rises to what it is to be, but no more than a tenth of all.
WARM_UP = 200
# The share of all steps, at the end, in which the rate falls to nothing. Before that it does not depend on how many
# steps there are, so a run can be made longer.
FALLING = 0.25
# Of the running mean of the loss, which is shown.
SMOOTHING = 0.98


class Stateful(Protocol):
    """What is kept in a checkpoint beside the weights: another module, its optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Take a state back."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step.

    Attributes:
        step: Steps done.
        loss: Running mean of the loss.
        held_out: Loss on what is held out, by the average of the weights; None where it was not measured now.
        checked: Whether a checkpoint was written now.
    """

    step: int
    loss: float
    held_out: float | None
    checked: bool


class Training:
    """The state of one training: what has to be saved so that it goes on where it stopped.

    Args:
        path: The checkpoint; read where it exists.
        parameters: What is trained, by name.
        rate: The learning rate.
        decay: How slowly the average follows the weights.
        optimizer: Makes the optimiser from parameters and rate; AdamW by default.
        beside: What else belongs into the checkpoint, by name.

    Raises:
        ValueError: The checkpoint is of something else.
    """

    def __init__(
        self,
        path: Path,
        parameters: Mapping[str, torch.nn.Parameter],
        rate: float,
        decay: float = 0.9995,
        optimizer: Callable[[list[torch.nn.Parameter], float], torch.optim.Optimizer] | None = None,
        beside: Mapping[str, Stateful] | None = None,
    ) -> None:
        self.path, self.rate, self.decay = path, rate, decay
        self.parameters = dict(parameters)
        self.average = {name: value.detach().clone().float() for name, value in self.parameters.items()}
        values = list(self.parameters.values())
        self.optimizer = (optimizer or adamw)(values, rate)
        self.beside = dict(beside or {})
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.best_loss, self.best_step = math.inf, 0
        self.best: dict[str, torch.Tensor] = {}
        # The held-out losses so far: (step, loss).
        self.history: list[tuple[int, float]] = []
        self._clock = time.monotonic()
        if path.exists():
            self._load()

    def _load(self) -> None:
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            with torch.no_grad():
                for name, value in self.parameters.items():
                    value.copy_(state["weights"][name])
                    self.average[name].copy_(state["average"][name])
            self._load_optimizer(state)
            for name, other in self.beside.items():
                other.load_state_dict(state["beside"][name])
        except (KeyError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{self.path}: not a checkpoint of this training ({error}); give another folder, or remove the file to "
                f"begin anew"
            ) from error
        self.step, self.seconds, self.loss = state["step"], state["seconds"], state["loss"]
        self.best, self.best_loss, self.best_step = state["best"], state["best_loss"], state["best_step"]
        self.history = [(int(step), float(loss)) for step, loss in state["history"]]
        logger.info("%s: goes on at step %d", self.path, self.step)

    def _load_optimizer(self, state: Mapping[str, Any]) -> None:
        """Take the optimiser's state back; one of another class, which could not use it, begins without."""
        if state["optimizer_class"] == type(self.optimizer).__name__:
            self.optimizer.load_state_dict(state["optimizer"])
            return
        logger.warning(
            "%s: was trained with %s, and goes on with %s, whose state begins anew",
            self.path,
            state["optimizer_class"],
            type(self.optimizer).__name__,
        )

    def save(self) -> None:
        """Write the checkpoint so that a kill at any moment leaves a whole one."""
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now
        state = {
            "weights": {name: value.detach() for name, value in self.parameters.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": type(self.optimizer).__name__,
            "beside": {name: other.state_dict() for name, other in self.beside.items()},
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "history": self.history,
        }
        write_whole(state, self.path)

    def run(
        self,
        steps: int,
        loss: Callable[[int], torch.Tensor],
        held_out: Callable[[], float] | None = None,
        every: int = 100,
        patience: int | None = None,
    ) -> Iterator[Progress]:
        """Train, one step each time the iterator is asked; while a checked one is looked at, the average is in place.

        Args:
            steps: How many in all, those of earlier runs included.
            loss: The loss of a step, by the step's number.
            held_out: The loss on what is held out; asked while the average of the weights is in place.
            every: After how many steps that is measured and a checkpoint written.
            patience: After how many such measurements without a better one training ends; None for never.

        Raises:
            InpaintError: A loss or a gradient is not finite; the last checkpoint is as it was.
        """
        while self.step < steps and not self._in_vain(every, patience):
            self._update(loss(self.step), steps)
            checked = self.step % every == 0 or self.step == steps
            measured = None
            if checked and held_out is not None:
                with self.averaged():
                    measured = held_out()
                self._check("held-out loss", measured)
                self.history.append((self.step, measured))
                if measured < self.best_loss:
                    self.best_loss, self.best_step = measured, self.step
                    self.best = {name: value.clone() for name, value in self.average.items()}
            progress = Progress(self.step, self.loss, measured, checked)
            if checked:
                self.save()
                with self.averaged():
                    yield progress
            else:
                yield progress

    def _in_vain(self, every: int, patience: int | None) -> bool:
        return patience is not None and bool(self.best) and self.step - self.best_step >= every * patience

    def _update(self, loss: torch.Tensor, steps: int) -> None:
        value = float(loss.detach())
        self._check("loss", value)
        left = (steps - self.step) / max(1, round(FALLING * steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / min(WARM_UP, max(1, steps // 10)), left)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._check("gradient", float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)))
        self.optimizer.step()
        # The average follows closely in the beginning.
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter.float(), 1 - decay)
        self.loss = value if math.isnan(self.loss) else SMOOTHING * self.loss + (1 - SMOOTHING) * value
        self.step += 1

    def _check(self, what: str, value: float) -> None:
        """Refuse what would end in every weight, and from there in the checkpoint."""
        if not math.isfinite(value):
            raise InpaintError(
                f"the {what} is {value} at step {self.step} of {self.path.stem}: training has broken down. Of a "
                f"denoiser or LoRA, go on from the last checkpoint with a lower rate, now {self.rate:g}; otherwise in "
                f"another folder with another seed"
            )

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The average in place of the weights."""
        kept = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._place(self.average)
        try:
            yield
        finally:
            self._place(kept)

    def finish(self) -> None:
        """Put the best average in place of the weights for good; without held-out losses, the last one."""
        self._place(self.best or self.average)

    @torch.no_grad()
    def _place(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, value in self.parameters.items():
            value.copy_(weights[name])


def adamw(parameters: list[torch.nn.Parameter] | list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    """The optimiser that everything is trained with unless there is a better one."""
    return torch.optim.AdamW(parameters, rate, betas=(0.9, 0.99), weight_decay=0.01)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While it lasts no other process trains in a folder: two that write one checkpoint leave half of each.

    Raises:
        InpaintError: Another process does.
    """
    with (folder / "lock").open("w") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InpaintError(
                    f"{folder.parent}: another process is training in this folder; wait for it, or end it and run this "
                    f"again, which goes on from its last checkpoint"
                ) from error
        yield


def write_whole(state: Any, path: Path) -> None:
    """``torch.save`` that leaves a whole file, the old one or the new one, whatever happens."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
