"""What the faces share beyond the core: the arguments of a transform, who paints for it, its epoch and its counters."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from inpaint_transform.core.boxes import Box, Outline
from inpaint_transform.core.edit import Edit, Outcome, failed
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.labels import Label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import plan
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap
from inpaint_transform.faces.counters import Tally
from inpaint_transform.faces.epoch import SharedEpoch
from inpaint_transform.faces.schedule import Schedule
from inpaint_transform.gates import Gate, gate_of, spec_with_clip
from inpaint_transform.reports.log import Log
from inpaint_transform.serving.connect import connect
from inpaint_transform.serving.placement import resolve_serving
from inpaint_transform.serving.session import current_session

ON_ERROR = ("raise", "skip")
SETTINGS = [field.name for field in dataclasses.fields(Recipe)]


class Editor:
    """Plans and paints for one transform.

    Holds no weights and no connection: it is small, and pickles and copies with its transform. Copies in one process,
    and those in forked or spawned workers, share the epoch; each process counts for itself.

    Args:
        arguments: The arguments of the face by name; those that it does not know belong to the face.

    Attributes:
        arguments: The arguments as a face stores them, with the model as JSON values.
        recipe: What to paint and where.
        spec: Which model paints.
        seed: Seed of content-keyed draws, or None.
        on_error: ``"raise"`` or ``"skip"``.
        epoch: The epoch that content-keyed draws depend on.
        tally: What this process painted.

    Raises:
        ValueError: An argument is unusable; the message names it and the mend.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        model = arguments["model"]
        self.spec = ModelSpec.of(model)
        self.arguments = {**arguments, "model": model if isinstance(model, str) else self.spec.to_dict()}
        settings = {name: arguments[name] for name in SETTINGS if name in arguments}
        settings["attributes"] = settings["attributes"] or {}
        settings["exclude_labels"] = settings["exclude_labels"] or ()
        settings["relabel"] = Swap.of(arguments.get("relabel"))
        self.recipe = Recipe(**settings)
        self.linked_fields: Mapping[str, Any] = arguments.get("linked_fields") or {}
        self.schedule = Schedule.of(arguments.get("schedule"))
        # Before a gate adds its CLIP, which has no part in the pixels.
        self._named_spec = self.spec
        path = arguments.get("log")
        if not isinstance(path, str | os.PathLike | None):
            raise ValueError(f"log={path!r}: use a path or None")
        # As text, so that it serialises.
        self.arguments["log"] = None if path is None else os.fspath(path)
        self.log = None if path is None else Log(path, bool(arguments.get("log_crops")))
        self.gate = gate_of(arguments.get("gate"))
        self.spec = spec_with_clip(self.spec, self.gate)
        for name in ("relabel", "schedule", "gate"):
            self.arguments[name] = _as_json(self.arguments.get(name))
        self.seed: int | None = arguments["seed"]
        if self.seed is not None and not isinstance(self.seed, int):
            raise ValueError(f"seed={self.seed!r}: use an int or None")
        self.on_error: str = arguments["on_error"]
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error={self.on_error!r}: use one of {', '.join(ON_ERROR)}")
        p = arguments["p"]
        if not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"p={p!r}: use a probability in [0, 1]")
        self.epoch = SharedEpoch()
        self.tally = Tally()
        self._session = current_session()

    def factor(self, scales: str) -> float:
        """What the schedule multiplies ``"p"`` or ``"box_p"`` by in this epoch."""
        if self.schedule is None or self.schedule.scales != scales:
            return 1.0
        return self.schedule.factor(self.epoch.value)

    @property
    def inpainter(self) -> Inpainter:
        """Who paints in this process; loads nothing by itself."""
        return connect(self.spec, self._session)

    def read_slots(self, sample: Mapping[Any, Any]) -> Mapping[str, str | Sequence[str]]:
        """The slot values that a sample brings under ``prompt_key``.

        Raises:
            ValueError: They are not a dict.
        """
        key = self.recipe.prompt_key
        if key is None:
            return {}
        slots = sample.get(key) or {}
        if not isinstance(slots, Mapping):
            raise ValueError(
                f"the sample's {key!r} is {slots!r}; give a dict of slot values, e.g. {{'weather': 'in fog'}}"
            )
        return slots

    def plan(
        self,
        height: int,
        width: int,
        boxes: Sequence[Box],
        labels: Sequence[Label] | None,
        rng: random.Random,
        slots: Mapping[str, str | Sequence[str]] | None = None,
        outlines: Sequence[Outline] | None = None,
        masks: Sequence[np.ndarray] | None = None,
        occupied: Callable[[int], bool] = lambda _: False,
    ) -> list[Edit]:
        """Decide what to paint in one sample; see ``plan``."""
        share = self.factor("box_p")
        return plan(self.recipe, height, width, boxes, labels, rng, slots, outlines, masks, occupied, share)

    def paint_each(
        self,
        images: Sequence[np.ndarray],
        edits: Sequence[Sequence[Edit]],
        keys: Sequence[str | None] | None = None,
    ) -> tuple[list[np.ndarray], list[list[Outcome]]]:
        """Paint each image's edits, all in one batch; count and log what became of them.

        Args:
            images: As ``paint_all`` takes them; never written to.
            edits: The edits of each image.
            keys: What the log calls each image.

        Returns:
            The images, the very same arrays where nothing was painted, and the outcomes of each.

        Raises:
            TypeError, ValueError: An image cannot be painted.
            InpaintError: Painting or judging failed, with ``on_error="raise"``.
            OSError: The log cannot be written.
        """
        try:
            painted, outcomes = paint_all(self.recipe, images, edits, self.inpainter, self.gate)
        except InpaintError as error:
            if self.on_error == "raise":
                raise
            self.tally.count_error(error)
            return list(images), [[failed(edit, "error") for edit in wanted] for wanted in edits]
        self.tally.count(outcome for per_image in outcomes for outcome in per_image)
        if self.log is not None:
            for image, per_image, key in zip(images, outcomes, keys or [None] * len(images), strict=True):
                self.log.write(image, per_image, self.recipe, self._named_spec, self.epoch.value, key)
        return painted, outcomes

    def stats(self) -> dict[str, Any]:
        """What this process painted, and under ``"inpainter"`` the counters of the engine."""
        counters = self._servers_stats() or self.inpainter.stats()
        return {**self.tally.counts(), "classes": self.tally.classes(), "inpainter": counters}

    def _servers_stats(self) -> dict[str, Any]:
        """The counters of the workers' server where this process would paint by itself; empty if there is none."""
        if resolve_serving(self.spec) != "local" or self.spec.serving != "auto":
            return {}
        with contextlib.suppress(InpaintError):  # this system cannot share
            server = connect(dataclasses.replace(self.spec, serving="shared"), self._session)
            found = server.stats()
            server.close()  # batches wait for clients that are connected
            return found
        return {}


def arguments_of(local_names: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor from its ``locals()``, taken on its first line."""
    return {name: value for name, value in local_names.items() if name not in ("self", "__class__")}


def _as_json(value: Any) -> Any:
    """An argument as JSON values where it has such; a function, or a gate that holds one, stays what it is."""
    if isinstance(value, list | tuple):
        return [_as_json(entry) for entry in value]
    if isinstance(value, Swap | Schedule | Gate):
        with contextlib.suppress(TypeError):
            return value.to_dict()
    return value
