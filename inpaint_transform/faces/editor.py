"""The editor: what the faces share beyond the core, from the decision whether a sample fires to its painted pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from inpaint_transform.core.edit import Edit, Outcome, failed
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.labels import Label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, obstacles, plan
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.core.ranges import looks_black
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.faces.arguments import Arguments
from inpaint_transform.faces.counters import Tally
from inpaint_transform.faces.edits import Edits, edits_of
from inpaint_transform.faces.epoch import SharedEpoch
from inpaint_transform.faces.firing import Firing, Keyed
from inpaint_transform.faces.relabel import linked_value
from inpaint_transform.serving.placement import resolve_serving
from inpaint_transform.serving.registry import OnDemand
from inpaint_transform.serving.registry import connect as connect_inpainter
from inpaint_transform.serving.session import Session, current_session

if TYPE_CHECKING:
    from inpaint_transform.serving.pool.pool import Pool

Connect = Callable[[ModelSpec, Session | None], Inpainter]
# So many samples with labels have these checked whether or not they fire. Later ones are checked when they fire: those
# which do not cost nothing.
CHECKED_SAMPLES = 100


class Sample(Keyed, Protocol):
    """How the editor reads a sample: its face answers, and only what is asked."""

    def labels(self) -> Sequence[Label] | None:
        """One label a box, empty where it has no boxes; None where its boxes have none."""
        ...

    def scene(self) -> Scene:
        """What there is to paint."""
        ...


class Editor:
    """Plans and paints for one transform.

    Holds no weights and no connection: it is small, and pickles and copies with its transform. Copies in one process,
    and those in forked or spawned workers, share the epoch; each process counts for itself.

    Args:
        arguments: The arguments of the face by name; those that it does not know belong to the face.
        connect: Gives the painter for a model and a training job; None for ``serving.registry``.

    Attributes:
        arguments: The arguments as a face stores them, with JSON values.
        recipe: What to paint and where.
        gate: Who judges what was painted, or None.
        linked_fields: With ``relabel``, what other fields become.
        seed: Seed of content-keyed draws, or None.
        edits_key: Under which key a sample carries its edits, or None.
        epoch: The epoch that content-keyed draws depend on.
        tally: What this process painted.

    Raises:
        ValueError: An argument is unusable; the message names it and the mend.
    """

    def __init__(self, arguments: Mapping[str, Any], connect: Connect | None = None) -> None:
        read = Arguments.read(arguments)
        self.arguments = read.stored
        self.recipe = read.recipe
        self.gate = read.gate
        self.linked_fields = read.linked_fields
        self.seed = read.seed
        self.epoch = SharedEpoch()
        self.tally = Tally()
        self._chosen = self.recipe.chosen()
        self._checked = 0
        self._known: set[Label] = set()
        self._spec = read.spec
        self._firing = Firing(read.seed, read.schedule)
        self._log = read.log
        self._reuse = read.reuse
        self.edits_key: str | None = self.arguments["edits_key"]
        self._on_error = read.on_error
        self._connect = connect
        self._session = current_session()
        self._pool: Pool | None = None
        if self._reuse is not None:
            # Whoever does without it does without its imports; here, so that forked workers have them.
            importlib.import_module("inpaint_transform.serving.pool.pool")
            from inpaint_transform.serving.pool.private import clear_at_end

            if self._reuse.path is None:
                # Here, for the pool itself may only ever be opened by workers.
                clear_at_end(self._session)

    def factor(self, scales: str) -> float:
        """What the schedule multiplies ``"p"`` or ``"box_p"`` by in this epoch."""
        return self._firing.factor(scales, self.epoch.value)

    @property
    def inpainter(self) -> Inpainter:
        """Who paints in this process; loads nothing by itself."""
        return (self._connect or connect_inpainter)(self._spec, self._session)

    def draw(
        self, sample: Sample, p: float, stream: random.Random | None = None, *, forced: bool = False
    ) -> list[Edit]:
        """Decide whether a sample fires (see ``firing``), and what is painted in it.

        Args:
            sample: The sample.
            p: The probability that it fires, in [0, 1], before the schedule.
            stream: The generator that the face's framework keeps for the transform.
            forced: Whether the framework has decided already, so that only the schedule may still say no.

        Returns:
            The edits; empty where it does not fire, and where no box is eligible.

        Raises:
            ValueError: The sample is unusable, or a setting does not fit its labels; the message names what and the
                mend.
        """
        if self._checked < CHECKED_SAMPLES:
            labels = sample.labels()
            if labels is None or len(labels) > 0:
                self._checked += 1
                self._check_labels(labels)
        if self._firing.schedule is not None and not self.epoch.told:
            self.tally.count_untold()
        rng = self._firing.decide(sample, p, self.epoch.value, stream, forced=forced)
        if rng is None:
            return []
        recipe, scene = self.recipe.scaled(self.factor("box_p")), sample.scene()
        if len(scene.boxes) > 0:
            self._check_labels(scene.labels)
        if scene.labels:
            self.tally.see(scene.labels, self._chosen)
        edits: list[Edit] = []
        if self.pool is None:
            edits = plan(recipe, scene, rng)
        else:
            with self._boundary("painting failed and the original image is used"):
                edits = self._plan_looks(self.pool, recipe, scene, sample.key()[0], rng)
        if not edits:
            reasons = obstacles(recipe, scene) or ["no boxes"]
            if None not in reasons:
                self.tally.count_unpainted(reason for reason in reasons if reason is not None)
        return edits

    def _check_labels(self, labels: Sequence[Label] | None) -> None:
        """Refuse labels that settings have no words for, whether or not their boxes are drawn; each of them once."""
        labelled = (None,) if labels is None else labels
        if self._known.issuperset(labelled):
            return
        names = self.recipe.class_names
        for label, targets in self.recipe.check_labels(labels, self.gate).items():
            for field, values in self.linked_fields.items():
                for target in targets if values is not None else ():
                    if target != label:
                        linked_value(self.linked_fields, field, target, names)
        self._known.update(labelled)

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

    def read_name(self, sample: Mapping[Any, Any]) -> str | None:
        """What the log calls a sample: its value under ``log_key``; warns once where it has none."""
        key = self.arguments["log_key"]
        name = None if key is None else sample.get(key)
        if key is not None and name is None:
            self.tally.warn_once("log_key", f"log_key={key!r} is no key of the sample, so the log does not name it")
        return None if name is None else str(name)

    def paint_same(
        self, images: Sequence[np.ndarray], edits: Sequence[Edit], key: str | None = None
    ) -> tuple[list[np.ndarray], list[Edit], Edits]:
        """Paint the same edits into all images of a sample, each into all or into none; see ``paint_each``.

        Returns:
            The images, the very same arrays where nothing was painted, the edits that are in them, and what became of
            all of them, for the sample to carry.
        """
        count = len(images)
        painted, outcomes = self.paint_each(images, [edits] * count, [key] * count, together=True)
        noted = edits_of(images[0], outcomes[0]) if self.edits_key is not None else Edits()
        return painted, [outcome.edit for outcome in outcomes[0] if outcome.accepted], noted

    def paint_each(
        self,
        images: Sequence[np.ndarray],
        edits: Sequence[Sequence[Edit]],
        keys: Sequence[str | None] | None = None,
        together: bool = False,
    ) -> tuple[list[np.ndarray], list[list[Outcome]]]:
        """Paint each image's edits, all in one batch; count and log what became of them.

        Args:
            images: As ``paint_all`` takes them; never written to.
            edits: The edits of each image.
            keys: What the log calls each image.
            together: As in ``paint_all``.

        Returns:
            The images, the very same arrays where nothing was painted, and the outcomes of each.

        Raises:
            TypeError, ValueError: An image cannot be painted.
            InpaintError: Painting or judging failed, with ``on_error="raise"``.
            OSError: The log cannot be written.
        """
        if self.pool is not None:
            edits = _first_of_same(edits)
        for image, wanted in zip(images, edits, strict=True):
            if wanted and image.dtype == np.uint16 and looks_black(brightest := int(image.max())):
                self.tally.warn_once(
                    "black",
                    f"a uint16 image has values up to {brightest}, and of 65535 that is black: are they 10 or 12 bits? "
                    f"Scale them to the whole range, or what is painted will not match",
                )
        painted = list(images)
        outcomes: list[list[Outcome]] = []
        with self._boundary("painting failed and the original image is used"):
            # With a pool it is rarely asked, and to find out who paints takes as long as a hit.
            inpainter = self.inpainter if self.pool is None else OnDemand(lambda: self.inpainter)
            painted, outcomes = paint_all(self.recipe, images, edits, inpainter, self.gate, together, looks=self.pool)
            flat = [outcome for per_image in outcomes for outcome in per_image]
            self.tally.count(flat, None if self.gate is None else repr(self.gate))
            if self.pool is not None:
                self.pool.count(flat)
        if len(outcomes) < len(edits):  # it failed
            outcomes = [[failed(edit, "error") for edit in wanted] for wanted in edits]
        if self._log is not None:
            thresholds = {} if self.gate is None else self.gate.thresholds
            with self._boundary("the log cannot be written"):
                for image, per_image, key in zip(images, outcomes, keys or [None] * len(images), strict=True):
                    self._log.write(image, per_image, self.recipe, self._spec, self.epoch.value, key, thresholds)
        return painted, outcomes

    @contextlib.contextmanager
    def _boundary(self, what: str) -> Iterator[None]:
        """Where ``on_error`` decides: raises what failed, or counts it and warns once.

        It covers the model, the server, and an operating system that has no files or memory left for them. Wrong input
        passes.
        """
        try:
            yield
        except (InpaintError, OSError) as error:
            if self._on_error == "raise":
                raise
            self.tally.count_error(what, error)

    def stats(self) -> dict[str, Any]:
        """What this process painted, why samples stayed as they were, and the counters of the engine."""
        counters: dict[str, Any] = {}
        with self._boundary("the server's counters cannot be read"):
            counters = self._servers_stats() or self.inpainter.stats()
        counts = self.tally.counts()
        found: dict[str, Any] = {
            **counts,
            "classes": self.tally.classes(self.recipe.class_names),
            "inpainter": counters,
        }
        if unpainted := self.tally.unpainted():
            found["unpainted"] = unpainted
        if not counts and counters.get("requests"):
            found["note"] = (
                "edits are counted by the process that plans them, here the DataLoader's workers: call stats() there, "
                "or give log=...; under 'inpainter' is what all of them have painted"
            )
        if self.pool is not None:
            found["reuse"] = self.pool.stats(self.arguments["p"] * self.factor("p"))
            if self.pool.reuse.frozen and not counts:
                found["note"] = (
                    "nothing is written into a frozen pool, so each process counts its own hits: give "
                    "edits_key='inpainted', and each sample says what was a hit and what cold"
                )
        return found

    @property
    def pool(self) -> Pool | None:
        """What of this transform is used again, in this process; None without ``reuse``."""
        if self._pool is None and self._reuse is not None:
            from inpaint_transform.serving.pool.pool import Pool

            self._pool = Pool(
                self._reuse,
                self._spec,
                self.recipe,
                self.gate,
                self._session,
                lambda: self.inpainter,
                lambda: self.epoch.value,
            )
        return self._pool

    def _hint(self) -> None:
        """Say once in a job what makes a pool of little use."""
        if self.pool is None:
            return
        for name, message in self.pool.hints(self.arguments["p"] * self.factor("p")):
            if self.pool.first(name):
                self.tally.warn_once(name, message)

    def _plan_looks(
        self, pool: Pool, recipe: Recipe, scene: Scene, image: np.ndarray, rng: random.Random
    ) -> list[Edit]:
        """Plan with looks that are used again, and have those painted that are due for the next time."""
        self._hint()
        drawer = pool.drawer(image)
        edits = plan(recipe, scene, rng, drawer)
        if drawer.due:
            # The looks that they replace serve until these are there, so nothing of them is in this sample.
            paint_all(self.recipe, [image], [drawer.due], self.inpainter, self.gate, looks=pool)
        return edits

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def _servers_stats(self) -> dict[str, Any]:
        """The counters of the workers' server where this process would paint by itself; empty if there is none."""
        if resolve_serving(self._spec) != "local" or self._spec.serving != "auto":
            return {}
        with contextlib.suppress(InpaintError):  # this system cannot share
            shared = dataclasses.replace(self._spec, serving="shared")
            server = (self._connect or connect_inpainter)(shared, self._session)
            found = server.stats()
            server.close()  # batches wait for clients that are connected
            return found
        return {}


def _first_of_same(edits: Sequence[Sequence[Edit]]) -> Sequence[Sequence[Edit]]:
    """The edits of several images, where the same ones go into all: they show looks of the first image's objects."""
    if len(edits) < 2 or any(wanted is not edits[0] for wanted in edits):
        return edits
    return [edits[0], *([dataclasses.replace(edit, look=None) for edit in edits[0]] for _ in edits[1:])]
