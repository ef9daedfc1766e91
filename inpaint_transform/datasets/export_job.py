"""The work of an export: places what is planned in its folder, and goes on where an earlier run stopped.

A plan is painted in groups of a full batch. Groups are the same in every run, whatever the threads and however often it
was killed, so the pixels are the same too, although neighbours in a batch may change a result by a grey level.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.looks import Looks
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets import manifest
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.export_plan import Copy, Original, Plan, Settings
from inpaint_transform.datasets.files import BrokenFileError, Problem, read_bytes
from inpaint_transform.datasets.formats.base import LabelledPicture
from inpaint_transform.datasets.images import Pictures, png_bytes
from inpaint_transform.datasets.reading import FORMATS
from inpaint_transform.datasets.shards import FINISHED, PROVENANCE
from inpaint_transform.datasets.work import as_they_finish
from inpaint_transform.reports.log import crop_of, crops_of, digest, record_of

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.protocol import Inpainter
    from inpaint_transform.gates import Gate

# Manifest lines that are about no picture.
CLASSES, BALANCE = "classes", "balance"
# Originals whose files go to the disk together: one by one, a hard disk manages a hundred a second.
CHUNK = 64
# Groups that are decoded before the model is free for them.
AHEAD = 2
MAX_AT_ONCE = 64
Report = Callable[[Problem], None]


@dataclass(frozen=True)
class Painted:
    """What became of one copy.

    Attributes:
        edits: How many boxes were painted.
        accepted: How many of them are in the copy; a copy without any is not written.
    """

    edits: int
    accepted: int


class ExportJob:
    """An export in its folder: places what is planned, and knows what is there already.

    Every file appears as a whole, and counts once it is in the manifest, so process and machine may end at any moment.
    Call ``place_originals``, ``paint`` and ``finish`` in this order.

    Args:
        plan: What the export will contain.
        target: The folder that is exported to.
        settings: As for the plan.
        state: How far earlier runs came.
        model: The model that paints, for the provenance.
        pictures: Decodes.
        report: Is told of pictures that cannot be placed or read any more; they are left out.

    Raises:
        ValueError: What is there was made from another source, which has changed since.
    """

    def __init__(
        self,
        plan: Plan,
        target: Path,
        settings: Settings,
        state: manifest.Manifest,
        model: ModelSpec,
        pictures: Pictures,
        report: Report,
    ) -> None:
        self._plan = plan
        self._target = target
        self._settings = settings
        self._state = state
        self._model = model
        self._pictures = pictures
        self._report = report
        self._format = FORMATS[settings.to]
        self._lost: dict[Original, str] = {}
        self._thresholds: Mapping[str, Mapping[str, float]] = {}
        self._check()

    def _check(self) -> None:
        """Refuse to go on with an export that was made from something else."""
        classes = {str(index): name for index, name in self._plan.classes.items()}
        begun = self._state.records.get(CLASSES, {}).get("classes", classes)
        if begun != classes:
            raise ValueError(
                f"{self._target}: its classes are {_shown(begun)}, and now they would be {_shown(classes)}; undo what "
                f"has changed, or export to a new folder"
            )
        planned: dict[str, Any] = {original.key: original.identity() for original in self._plan.originals}
        planned |= {copy.key: _json([edit.to_dict() for edit in copy.edits]) for copy in self._plan.copies}
        # Originals first: where one has changed, so have its copies, and the picture is what the user knows.
        records = sorted(self._state.records.items(), key=lambda item: "edits" in item[1])
        for key, record in records:
            if key in (CLASSES, BALANCE, FINISHED):
                continue
            was = record["edits"] if "edits" in record else record["original"]
            if was != planned.get(key):
                changed = "picture or the boxes that it was made from have changed or are gone"
                if "original" in record and key in planned:
                    changed = " and the ".join(name for name in was if was[name] != planned[key][name])
                    changed += " that it was made from have changed"
                raise ValueError(f"{self._target}: {key}: the {changed}; undo that, or export to a new folder")

    @property
    def finished(self) -> list[Painted]:
        """What became of the copies that are finished."""
        records = (self._state.records.get(copy.key) for copy in self._plan.copies)
        return [_painted(record) for record in records if record is not None]

    def place_originals(self, workers: int) -> Iterator[Original]:
        """Link or copy the originals and write their label files, as they get ready.

        Raises:
            InpaintError: The folder cannot be written to.
        """
        if CLASSES not in self._state.records:
            self._state.add({CLASSES: {"classes": dict(self._plan.classes)}})
        ready: list[tuple[Original, list[Path]]] = []
        for original, result in as_they_finish(self._place, self._plan.originals, workers):
            if isinstance(result, Problem):
                self._lose(original, result)
            elif result:
                ready.append((original, result))
            if len(ready) == CHUNK:
                self._note(ready)
                ready = []
            yield original
        self._note(ready)

    def _note(self, placed: Sequence[tuple[Original, list[Path]]]) -> None:
        records = {original.key: {"original": original.identity()} for original, _ in placed}
        self._state.add(records, [path for _, paths in placed for path in paths])

    def _place(self, original: Original) -> tuple[Original, list[Path] | Problem]:
        """Place one original: the files that were written, or why it could not be."""
        picture = self._target / self._format.picture_path(original.split, original.name)
        if original.key in self._state.records and picture.exists():
            return original, []
        source = original.annotation.image
        try:
            labels = self._write_labels(original.split, original.labelled())
            if original.encoded:
                manifest.write_whole(picture, png_bytes(self._pictures.load(source)))
            elif not (self._settings.link and manifest.link_whole(picture, source)):
                content = read_bytes(source)
                if hashlib.blake2b(content, digest_size=16).hexdigest() != original.annotation.digest:
                    raise BrokenFileError(source, None, "it has changed while it was exported")
                manifest.write_whole(picture, content)
        except BrokenFileError as error:
            return original, error.problem
        return original, [picture, *labels]

    def _lose(self, original: Original, problem: Problem) -> None:
        self._lost[original] = problem.reason
        self._report(problem)

    def paint(
        self,
        recipe: Recipe,
        inpainter: Inpainter,
        groups: Sequence[Sequence[Copy]],
        workers: int,
        gate: Gate | None = None,
        at_once: Callable[[], int] = lambda: 1,
        looks: Looks | None = None,
        watch: Callable[[Iterable[Outcome]], None] = lambda _: None,
    ) -> Iterator[Painted]:
        """Paint the copies of these groups that are not finished, as they get ready.

        Args:
            recipe: As for the plan.
            inpainter: Who paints; each call has one group, so that groups stay what they are.
            groups: Groups of the plan, of a full batch of edits each. The pixels depend on it.
            workers: How many threads decode, encode and write meanwhile.
            gate: Judges every box; what it rejects keeps its old pixels and label.
            at_once: Tells how many groups to paint at the same time, by as many threads.
            looks: Where to find what was painted before, and to keep what is painted now.
            watch: Is told what became of each group's edits.

        Raises:
            InpaintError: Painting failed, or the folder cannot be written to.
        """
        self._thresholds = {} if gate is None else gate.thresholds
        if recipe.class_names is None:  # what a box could show instead of its class is any other class
            recipe = dataclasses.replace(recipe, class_names={name: name for name in self._plan.classes.values()})
        groups = [group for group in groups if self._missing(group)]
        wanted = {copy.original.annotation.image for group in groups for copy in group}
        for original in self._plan.originals:
            if original.annotation.image not in wanted:
                self._pictures.drop(original.annotation.image)
        with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(MAX_AT_ONCE) as threads:
            todo = iter(groups)
            loading = deque((group, pool.submit(self._load, group)) for group in itertools.islice(todo, AHEAD))
            painting: deque[tuple[list[Copy], dict[Path, np.ndarray], Future[Any]]] = deque()
            writing: deque[Future[list[Painted]]] = deque()
            try:
                while loading or painting:
                    while loading and len(painting) < at_once():
                        group, future = loading.popleft()
                        images = self._told(future.result())
                        loading.extend((later, pool.submit(self._load, later)) for later in itertools.islice(todo, 1))
                        readable = [copy for copy in group if copy.original.annotation.image in images]
                        pictures = [images[copy.original.annotation.image] for copy in readable]
                        # Finished ones are painted once more: the others depend on their neighbours in the batch.
                        edits = [copy.edits for copy in readable]
                        result = threads.submit(paint_all, recipe, pictures, edits, inpainter, gate, looks=looks)
                        painting.append((readable, images, result))
                    readable, images, result = painting.popleft()
                    painted, outcomes = result.result()
                    watch(itertools.chain.from_iterable(outcomes))
                    writing.append(pool.submit(self._write, readable, images, painted, outcomes, recipe))
                    self._drop(images, [*_copies(loading), *_copies(painting)])
                    while writing and (writing[0].done() or len(writing) > workers):
                        yield from writing.popleft().result()
                while writing:
                    yield from writing.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                pool.shutdown(wait=False, cancel_futures=True)

    def _missing(self, group: Sequence[Copy]) -> list[Copy]:
        return [copy for copy in group if copy.key not in self._state.records and copy.original not in self._lost]

    def _load(self, group: Sequence[Copy]) -> dict[Path, np.ndarray | Problem]:
        """The pictures of a group; a problem for each that cannot be read any more."""
        images: dict[Path, np.ndarray | Problem] = {}
        for copy in group:
            source = copy.original.annotation.image
            try:
                images[source] = images[source] if source in images else self._pictures.load(source)
            except BrokenFileError as error:
                images[source] = error.problem
        return images

    def _told(self, loaded: Mapping[Path, np.ndarray | Problem]) -> dict[Path, np.ndarray]:
        for item in loaded.values():
            if isinstance(item, Problem):
                self._report(item)
        return {path: item for path, item in loaded.items() if not isinstance(item, Problem)}

    def _drop(self, images: Iterable[Path], later: Sequence[Copy]) -> None:
        still = {copy.original.annotation.image for copy in later}
        for path in images:
            if path not in still:
                self._pictures.drop(path)

    def _write(
        self,
        copies: Sequence[Copy],
        images: Mapping[Path, np.ndarray],
        painted: Sequence[np.ndarray],
        outcomes: Sequence[Sequence[Outcome]],
        recipe: Recipe,
    ) -> list[Painted]:
        """Write the copies of a group that are not finished, and then note that they are."""
        missing = self._missing(copies)
        records: dict[str, dict[str, Any]] = {}
        files: list[Path] = []
        for copy, image, own in zip(copies, painted, outcomes, strict=True):
            if copy not in missing:
                continue
            path = self._format.picture_path(copy.original.split, copy.name)
            pixels = digest(images[copy.original.annotation.image])
            log = []
            for number, outcome in enumerate(own, start=1):
                crop = self._save_crop(outcome, path, number)
                name = None if crop is None else crop.name
                log.append(
                    record_of(outcome, pixels, recipe, self._model, str(path), crop=name, thresholds=self._thresholds)
                )
                files += [crop] if crop is not None else []
            record = {
                "edits": _json([edit.to_dict() for edit in copy.edits]),
                "labels": _labels(copy, own),
                "accepted": sum(outcome.accepted for outcome in own),
                "provenance": [line.to_json() for line in log],
            }
            if record["accepted"]:
                try:
                    files += self._write_labels(copy.original.split, copy.labelled(record["labels"]))
                    manifest.write_whole(self._target / path, png_bytes(image))
                except BrokenFileError as error:
                    self._report(error.problem)
                    continue
                files.append(self._target / path)
            records[copy.key] = record
        self._state.add(records, files)
        return [_painted(record) for record in records.values()]

    def _save_crop(self, outcome: Outcome, path: PurePosixPath, number: int) -> Path | None:
        """Save an edit's window under a name that any run gives it."""
        crop = crop_of(outcome) if self._settings.save_crops else None
        if crop is None:
            return None
        name = f"{hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()}-{number}.png"
        place = crops_of(self._target / PROVENANCE) / name
        manifest.write_whole(place, png_bytes(crop))
        return place

    def _write_labels(self, split: str, picture: LabelledPicture) -> list[Path]:
        found = self._format.label_file(split, picture, self._plan.classes)
        if found is None:
            return []
        path, text = found
        manifest.write_whole(self._target / path, text.encode())
        return [self._target / path]

    def finish(self, balance: BalanceSheet) -> Counter[str]:
        """Write what describes the data set as a whole, and the provenance of its copies.

        Args:
            balance: Is told which originals are in the export; it goes into the manifest.

        Returns:
            How many pictures each split has.

        Raises:
            InpaintError: The folder cannot be written to.
        """
        copies: dict[Original, list[LabelledPicture]] = {}
        lines = []
        for copy in self._plan.copies:
            record = self._state.records.get(copy.key)
            if record is None:
                continue
            if record["accepted"]:
                copies.setdefault(copy.original, []).append(copy.labelled(record["labels"]))
            else:
                balance.note("copies that are not written, for all that was painted in them was rejected")
            lines += [f"{line}\n" for line in record["provenance"]]
        pictures: dict[str, list[LabelledPicture]] = {}
        for original in self._plan.originals:
            if original in self._lost:
                balance.lose(original.annotation, self._lost[original])
                continue
            balance.use(original.annotation)
            pictures.setdefault(original.split, []).extend([original.labelled(), *copies.get(original, [])])
        if not pictures:
            raise InpaintError(f"{self._target}: not one picture could be written")
        texts = {**dict(self._format.indices(pictures, self._plan.classes)), PurePosixPath(PROVENANCE): "".join(lines)}
        for path, text in texts.items():
            manifest.write_whole(self._target / path, text.encode())
        if self._state.records.get(BALANCE, {}).get("balance") != balance.to_dict():
            self._state.add({BALANCE: {"balance": balance.to_dict()}}, [self._target / path for path in texts])
        return Counter({split: len(listed) for split, listed in pictures.items()})


def _copies(queue: Iterable[tuple[Any, ...]]) -> Iterator[Copy]:
    for group, *_ in queue:
        yield from group


def _labels(copy: Copy, outcomes: Sequence[Outcome]) -> list[str]:
    """The labels of a copy: new ones where an edit was accepted."""
    labels = list(copy.original.annotation.labels)
    for outcome in outcomes:
        if outcome.accepted and outcome.edit.index is not None:
            labels[outcome.edit.index] = str(outcome.edit.target)
    return labels


def _painted(record: Mapping[str, Any]) -> Painted:
    return Painted(len(record["provenance"]), record["accepted"])


def _shown(classes: Mapping[str, str]) -> str:
    return ", ".join(f"{index}: {name}" for index, name in classes.items())


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))
