"""The pool of a transform: which look an edit shows, what is kept of it, and what is painted meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit, Look, Outcome
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.labels import Label, class_name
from inpaint_transform.core.looks import KEY_BYTES, Kept, content_digest, look_key, look_rng
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter, InpaintRequest, Judge
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.reuse import Reuse
from inpaint_transform.serving.placement import portable
from inpaint_transform.serving.pool import hints, records, weights
from inpaint_transform.serving.pool.contents import Contents, size_of
from inpaint_transform.serving.pool.keeper import Keeper, keeper_of
from inpaint_transform.serving.pool.private import private_folder
from inpaint_transform.serving.pool.view import Reading
from inpaint_transform.serving.pool.wishes import background_of
from inpaint_transform.serving.session import Session

# What of a recipe changes pixels or verdicts once an edit is planned.
RECIPE = ("shape", "feather", "match_border", "retries")
# How often to look whether there is something to say, and over how long the rate of painting is taken.
HINTS_S = 10.0
RATE_S = 600.0


def settings_of(spec: ModelSpec, recipe: Recipe, gate: Judge | None) -> tuple[bytes, str]:
    """What besides an edit decides about painted pixels and verdicts: a digest, and the same in words."""
    values = {
        "model": portable(spec),
        "weights": weights.digest_of(spec, gate.clip if gate is not None else None),
        "recipe": {name: getattr(recipe, name) for name in RECIPE},
        "gate": _words_of(gate),
        # What a box could be taken for is asked of CLIP only.
        "words": recipe.nouns() if gate is not None and gate.clip is not None else None,
    }
    words = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(words.encode(), digest_size=16).digest(), words


def _words_of(value: Any) -> Any:
    """A gate, or a part of one, as JSON values."""
    with contextlib.suppress(TypeError, AttributeError):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_words_of(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _words_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"gate": type(value).__name__, **parts}
    # A function is known by its name only: whoever changes what it does takes a new pool.
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else value


class Pool:
    """What a transform has of the pool, in one process.

    Args:
        reuse: The settings.
        spec: Which model paints.
        recipe: What is painted and how.
        gate: Who judges, or None.
        session: The training job.
        inpainter: Gives who paints; asked in another thread and only if something is to be painted.
        epoch: Gives the epoch.

    Attributes:
        reuse: The settings.
        wait: See ``Reuse``.
        settings: See ``Looks``.
        words: The settings in words, as JSON.
        class_names: The recipe's.
    """

    def __init__(
        self,
        reuse: Reuse,
        spec: ModelSpec,
        recipe: Recipe,
        gate: Judge | None,
        session: Session,
        inpainter: Callable[[], Inpainter],
        epoch: Callable[[], int],
    ) -> None:
        self.reuse = reuse
        self.wait = reuse.wait
        self.settings, self.words = settings_of(spec, recipe, gate)
        self.class_names = recipe.class_names
        self._model = spec.id
        self._epoch = epoch
        self._job = str(session).encode()
        path = private_folder(session) if reuse.path is None else Path(reuse.path)
        self._keeper: Keeper = keeper_of(path, reuse.bytes, reuse.frozen, reuse.echo)
        self._background = background_of(self._keeper, (spec, session), inpainter)
        self._noted = False
        if json.loads(self.words)["weights"] is None:
            self.adopt(self._known())
        self._own: Counter[str] = Counter()
        self._next_hint = float("-inf")
        self._judged = False

    def reading(self) -> Reading:
        """The pool at this moment."""
        return Reading(self._keeper.store)

    def _known(self) -> dict[bytes, str]:
        with self._keeper.store.reading() as transaction:
            return Contents(transaction, self._keeper.store.dbs).settings()

    def adopt(self, known: Mapping[bytes, str]) -> None:
        """Where the model is on another machine, take looks for its that were painted by the only weights of its name.

        Args:
            known: Settings of a pool in words, by their digest.
        """
        mine = json.loads(self.words)
        found = [one for one, words in known.items() if {**json.loads(words), "weights": None} == mine]
        if len(found) == 1:
            [self.settings] = found
            self.words = known[self.settings]

    def foreign(self) -> str | None:
        """What to say where a pool is full of looks that this transform cannot use, because they are another's."""
        known = self._known()
        if not known or self.settings in known:
            return None
        different = differences(json.loads(next(iter(known.values()))), json.loads(self.words))
        return (
            f"the pool {self._keeper.store.path} was filled with other settings ({different}), so none of its looks "
            f"serve here" + ("" if self.reuse.frozen else "; they are painted anew")
        )

    def drawer(self, image: np.ndarray) -> Drawer:
        """Who draws looks for the objects of an image."""
        return Drawer(self, image)

    def keep(self, key: bytes, kept: Kept, edit: Edit) -> None:
        """Keep a look; it is there soon, or after ``flush``."""
        if self.reuse.frozen:
            return
        now = time.time()
        kept = dataclasses.replace(kept, model=self._model, epoch=self._epoch(), painted_at=now)
        value = records.pack_look(kept)
        note, self._noted = not self._noted, True

        def work(contents: Contents) -> None:
            if note:
                contents.put_settings(self.settings, self.words)
            contents.settle(key, value, kept, edit.look, now)

        self._keeper.put(work, size_of(value))

    def note(self, name: bytes, text: str) -> None:
        """Write something about the whole pool down, behind what is kept so far."""
        self._keeper.put(lambda contents: contents.note(name, text))
        self._keeper.flush()

    def take(self, other: Contents, slots: Sequence[bytes]) -> int:
        """Take looks that serve in another pool, where none serves here; how many were taken.

        Raises:
            InpaintError: The pool cannot be written to.
        """
        store = self._keeper.store

        def work(transaction: lmdb.Transaction[Any]) -> int:
            contents = Contents(transaction, store.dbs)
            contents.put_settings(self.settings, self.words)
            return sum(contents.take(other, slot) for slot in slots)

        def make_room(transaction: lmdb.Transaction[Any], size: int) -> None:
            Contents(transaction, store.dbs).make_room(size, self.reuse.echo)

        try:
            return store.write(work, make_room)
        except (lmdb.Error, OSError) as error:
            raise InpaintError(f"reuse has path={str(store.path)!r}, which cannot be written to: {error}") from error

    def paint_later(self, key: bytes, attempt: int, request: Callable[[int], InpaintRequest]) -> None:
        """Have something painted in the background.

        Raises:
            InpaintError: Painting in the background has failed since the last call.
        """
        if not self.reuse.frozen:
            self._background.ask(key, attempt, request)

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count what became of edits."""
        counts: Counter[str] = Counter()
        for outcome in outcomes:
            counts["edits"] += 1
            counts["accepted"] += outcome.accepted
            counts["rejected"] += not outcome.accepted and outcome.reuse != "cold"
            counts[outcome.reuse or "failed"] += 1
        if self.reuse.frozen:
            self._own.update(counts)
            return
        cold = set()
        for outcome in outcomes:
            look = outcome.edit.look
            if look is not None and outcome.reuse == "hit":
                self._keeper.use(bytes.fromhex(look.slot), look.generation)
            elif look is not None and outcome.reuse == "cold":
                cold.add(bytes.fromhex(look.slot))
        if cold:
            with self._keeper.store.reading() as transaction:
                contents = Contents(transaction, self._keeper.store.dbs)
                new = {slot for slot in cold if not contents.asked(slot)}
            counts["new"] = len(new)
            if new:
                self._keeper.ask(new)
        self._keeper.count(b"job|%s|%d" % (self._job, self._epoch()), counts)

    def first(self, name: str) -> bool:
        """Whether this is the first process of the job that asks for a name; of a frozen pool, always."""
        if self.reuse.frozen:
            return True
        found: list[bool] = []

        def work(contents: Contents) -> None:
            key = b"said|%s|%s" % (self._job, name.encode())
            found[:] = [not contents.counts(key)]
            contents.add_counts(key, {"said": 1})

        self._keeper.put(work)
        self._keeper.flush()
        return found == [True]

    def flush(self) -> None:
        """Return when everything is written."""
        self._keeper.flush()

    def painting(self) -> int:
        """How many looks wait in this process to be handed over for painting."""
        return self._background.waiting()

    def stats(self, p: float) -> dict[str, Any]:
        """The pool in numbers, and what this job made of it, as JSON values.

        Args:
            p: The probability that was asked for.
        """
        if not self.reuse.frozen:
            self._keeper.flush()
        epoch = self._epoch()
        with self._keeper.store.reading() as transaction:
            contents = Contents(transaction, self._keeper.store.dbs)
            by_epoch = contents.counts_of(b"job|%s|" % self._job)
            slots = [slot for _, slot in contents.slots()]
            # Raw results are no looks yet.
            ages = [max(0, epoch - state.epoch) for key, state in contents.states() if len(key) == KEY_BYTES]
            unjudged = sum(len(key) != KEY_BYTES for key, _ in contents.states())
            size, early = contents.total_bytes, contents.counts(b"evicted").get("early", 0)
        if self.reuse.frozen:
            by_epoch = {str(epoch): dict(self._own)}
        total: Counter[str] = Counter()
        for counts in by_epoch.values():
            total.update(counts)
        latest = by_epoch[max(by_epoch, key=int)] if by_epoch else {}
        share = latest["accepted"] / latest["edits"] if latest.get("edits") else None
        objects = len({slot.content for slot in slots})
        uses = [slot.uses for slot in slots]
        return {
            **{name: total[name] for name in ("hit", "cold", "painted", "rejected")},
            "objects": objects,
            "looks": len(slots),
            "unjudged": unjudged,
            "looks_per_object": round(len(slots) / objects, 3) if objects else 0.0,
            "uses_per_look": round(float(np.mean(uses)), 3) if uses else 0.0,
            "age_epochs": float(np.median(ages)) if ages else 0.0,
            "bytes": size,
            "evicted_early": early,
            "asked_p": p,
            "effective_p": None if share is None else round(p * share, 4),
            "epochs": {number: by_epoch[number] for number in sorted(by_epoch, key=int)},
        }

    def hints(self, p: float) -> list[tuple[str, str]]:
        """What to say about the pool, by name; looked for now and then only.

        Args:
            p: The probability that was asked for.
        """
        now = time.monotonic()
        # A worker may live no longer than an epoch, so the clock alone would come too late.
        enough = self.reuse.frozen and not self._judged and hints.tells(self._own)
        if now < self._next_hint and not enough:
            return []
        self._judged = self._judged or enough
        first, self._next_hint = self._next_hint == float("-inf"), now + HINTS_S
        found = []
        if first and (foreign := self.foreign()) is not None:
            found.append(("foreign", foreign))
        epoch = self._epoch()
        with self._keeper.store.reading() as transaction:
            contents = Contents(transaction, self._keeper.store.dbs)
            if self.reuse.frozen:
                looks = len(list(contents.slots()))
                said = hints.frozen_share(self._own, p, self._keeper.store.path, looks)
                return found + ([("effective", said)] if said is not None else [])
            counts = hints.judged(contents.counts_of(b"job|%s|" % self._job), epoch)
            if counts is not None and counts.get("accepted", 0) * 2 < counts.get("edits", 0):
                recent = [state.born for key, state in contents.states() if time.time() - state.born < RATE_S]
                looks, wanted = len(list(contents.slots())), contents.asked_count()
                early = contents.counts(b"evicted").get("early", 0)
                rate = len(recent) / max(time.time() - min(recent), 1.0) if recent else 0.0
                said = hints.low_share(counts, p, early, looks, wanted, rate)
                found += [("effective", said)] if said is not None else []
        return found


class Drawer:
    """Draws looks for the objects of one image; see ``core.looks.LookDrawer``.

    Attributes:
        due: The next generations of looks that are due.
    """

    def __init__(self, pool: Pool, image: np.ndarray) -> None:
        self._pool = pool
        self._image = image
        self.due: list[Edit] = []

    def draw(
        self, box: Box, window: Box, label: Label, edit: Callable[[random.Random], Edit], rng: random.Random
    ) -> Edit:
        """Draw a look: the variant, and the generation of it that serves."""
        return self.look(box, window, label, edit, rng.randrange(self._pool.reuse.variants))

    def look(self, box: Box, window: Box, label: Label, edit: Callable[[random.Random], Edit], variant: int) -> Edit:
        """A variant, and the generation of it that serves."""
        pool = self._pool
        content = content_digest(self._image, box, window)
        name = class_name(label, pool.class_names)
        first = edit(look_rng(content, name, variant, 0))
        # What the first generation is named by tells apart whatever an edit may depend on: prompts, slots, swaps.
        key = look_key(first, content, pool.settings, pool.class_names)
        with pool.reading() as view:
            slot = view.slot(key)

        def generation(number: int) -> Edit:
            made = first if number == 0 else edit(look_rng(content, name, variant, number))
            return dataclasses.replace(made, look=Look(content.hex(), key.hex(), variant, number))

        if slot is None:
            return generation(0)
        if slot.uses >= pool.reuse.echo and not pool.reuse.frozen:
            self.due.append(generation(slot.tried + 1))
        return generation(slot.generation)

    def region_rng(self, rng: random.Random) -> random.Random:
        """The source of draws for a region of an image without objects."""
        height, width = self._image.shape[:2]
        whole = (0, 0, width, height)
        content = content_digest(self._image, (0, 0, 1, 1), whole)
        return look_rng(content, "region", rng.randrange(self._pool.reuse.variants), 0)


def differences(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    """In what the settings of two pools differ, in words."""
    found = []
    for part in mine:
        one, other = theirs.get(part), mine[part]
        if one != other and isinstance(one, dict) and isinstance(other, dict):
            names = sorted({*one, *other})
            found += [
                f"{name}={one.get(name)!r} instead of {other.get(name)!r}"
                for name in names
                if one.get(name) != other.get(name)
            ]
        elif one != other:
            found.append(f"{part}={one!r} instead of {other!r}")
    return ", ".join(found)
