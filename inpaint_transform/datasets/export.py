"""Export: a data set together with painted copies of its pictures, as a data set on disk.

A plan is painted in groups of a full batch. Groups are the same in every run, whatever the threads and however often it
was killed, so the pixels are the same too, although neighbours in a batch may change a result by a grey level.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL import Image

from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets import layout as layouts
from inpaint_transform.datasets import manifest
from inpaint_transform.datasets.export_plan import Copy, Original, Plan, Settings
from inpaint_transform.datasets.files import BrokenFileError, Problem
from inpaint_transform.datasets.reading import BoxFormat, read_image
from inpaint_transform.datasets.writing import LabelledPicture, coco_json, data_yaml, voc_xml, yolo_labels
from inpaint_transform.gates import Gate
from inpaint_transform.reports.log import crop_of, crops_of, digest, record_of

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.protocol import Inpainter, InpaintRequest, InpaintResult

PROVENANCE = "provenance.jsonl"
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


class Export:
    """An export in its folder: places what is planned, and knows what is there already.

    Every file appears as a whole, and a copy counts as finished once it is in the manifest, so the process may end at
    any moment. Call ``place_originals``, ``paint`` and ``finish`` in this order.

    Args:
        plan: What the export will contain.
        target: The folder that is exported to.
        settings: As for the plan.
        state: How far earlier runs came.
        model: The model that paints, for the provenance.

    Raises:
        ValueError: A finished copy was painted to another plan, because the source has changed since.
    """

    def __init__(
        self, plan: Plan, target: Path, settings: Settings, state: manifest.Manifest, model: ModelSpec
    ) -> None:
        self._plan = plan
        self._target = target
        self._settings = settings
        self._state = state
        self._model = model
        planned = {copy.key: _json([edit.to_dict() for edit in copy.edits]) for copy in plan.copies}
        for key, record in state.records.items():
            if record["edits"] != planned.get(key):
                raise ValueError(
                    f"{target}: the picture or the boxes that {key} was painted from have changed or are gone; undo "
                    f"that, or export to a new folder"
                )

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

        def place(original: Original) -> Original:
            picture = self._target / layouts.picture_path(self._settings.to, original.split, original.name)
            if not picture.exists():
                self._write_labels(original.split, original.labelled())
                _place_picture(original.annotation.image, picture, self._settings.link)
            return original

        yield from _run(place, self._plan.originals, workers)

    def paint(
        self,
        recipe: Recipe,
        inpainter: Inpainter,
        batch: int,
        workers: int,
        report: Report,
        gate: Gate | None = None,
    ) -> Iterator[Painted]:
        """Paint the copies that are not finished, as they get ready.

        Args:
            recipe: As for the plan.
            inpainter: Who paints.
            batch: How many edits are a full batch for it. The pixels depend on it.
            workers: How many threads decode, blend, encode and write while one of them has the model.
            report: Is told of originals that have become unreadable; their copies are left out.
            gate: Judges every box; what it rejects keeps its old pixels and label.

        Raises:
            InpaintError: Painting failed, or the folder cannot be written to.
        """
        alone = _Alone(inpainter)
        # What a box could show instead of its class is any other class of the data set.
        recipe = dataclasses.replace(recipe, class_names={name: name for name in self._plan.classes.values()})

        def work(group: Sequence[Copy]) -> list[Painted]:
            return self._paint_group(group, recipe, alone, report, gate)

        groups = [group for group in _groups(self._plan.copies, batch) if self._missing(group)]
        for results in _run(work, groups, workers):
            yield from results

    def _missing(self, group: Sequence[Copy]) -> list[Copy]:
        return [copy for copy in group if copy.key not in self._state.records]

    def _paint_group(
        self, group: Sequence[Copy], recipe: Recipe, inpainter: Inpainter, report: Report, gate: Gate | None
    ) -> list[Painted]:
        images: dict[Path, np.ndarray] = {}
        for copy in group:
            source = copy.original.annotation.image
            try:
                images[source] = read_image(source) if source not in images else images[source]
            except BrokenFileError as error:
                report(error.problem)
        readable = [copy for copy in group if copy.original.annotation.image in images]
        missing = self._missing(readable)
        # Finished ones are painted with their group once more: the others depend on their neighbours in the batch.
        pictures = [images[copy.original.annotation.image] for copy in readable]
        painted, outcomes = paint_all(recipe, pictures, [copy.edits for copy in readable], inpainter, gate)
        results = []
        for copy, image, own in zip(readable, painted, outcomes, strict=True):
            if copy not in missing:
                continue
            path = layouts.picture_path(self._settings.to, copy.original.split, copy.name)
            pixels = digest(images[copy.original.annotation.image])
            log = [
                record_of(outcome, pixels, recipe, self._model, str(path), crop=self._save_crop(outcome, path, number))
                for number, outcome in enumerate(own, start=1)
            ]
            record = {
                "edits": _json([edit.to_dict() for edit in copy.edits]),
                "labels": _labels(copy, own),
                "accepted": sum(outcome.accepted for outcome in own),
                "provenance": [line.to_json() for line in log],
            }
            if record["accepted"]:
                self._write_labels(copy.original.split, copy.labelled(record["labels"]))
                manifest.write_whole(self._target / path, _png(image))
            self._state.add(copy.key, record)
            results.append(_painted(record))
        return results

    def _save_crop(self, outcome: Outcome, path: PurePosixPath, number: int) -> str | None:
        """Save an edit's window under a name that any run gives it."""
        crop = crop_of(outcome) if self._settings.save_crops else None
        if crop is None:
            return None
        name = f"{hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()}-{number}.png"
        manifest.write_whole(crops_of(self._target / PROVENANCE) / name, _png(crop))
        return name

    def _write_labels(self, split: str, picture: LabelledPicture) -> None:
        path = layouts.label_path(self._settings.to, split, picture.name)
        if path is not None:
            yolo = self._settings.to is BoxFormat.YOLO
            text = yolo_labels(picture, self._plan.classes) if yolo else voc_xml(picture)
            manifest.write_whole(self._target / path, text.encode())

    def finish(self) -> Counter[str]:
        """Write what describes the data set as a whole, and the provenance of its copies.

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
            lines += [f"{line}\n" for line in record["provenance"]]
        pictures: dict[str, list[LabelledPicture]] = {}
        for original in self._plan.originals:
            pictures.setdefault(original.split, []).extend([original.labelled(), *copies.get(original, [])])
        for path, text in self._indices(pictures):
            manifest.write_whole(self._target / path, text.encode())
        manifest.write_whole(self._target / PROVENANCE, "".join(lines).encode())
        return Counter({split: len(listed) for split, listed in pictures.items()})

    def _indices(self, pictures: Mapping[str, Sequence[LabelledPicture]]) -> Iterator[tuple[PurePosixPath, str]]:
        to = self._settings.to
        if to is BoxFormat.YOLO:
            folders = {split: layouts.picture_path(to, split, PurePosixPath()) for split in pictures}
            yield PurePosixPath("data.yaml"), data_yaml(self._plan.classes, folders)
        for split, listed in pictures.items():
            if to is BoxFormat.COCO:
                yield layouts.coco_path(split), coco_json(listed, self._plan.classes)
            elif to is BoxFormat.VOC:
                names = "".join(f"{split}/{picture.name.with_suffix('')}\n" for picture in listed)
                yield PurePosixPath("ImageSets", "Main", f"{split}.txt"), names


class _Alone:
    """An inpainter that is asked for one group at a time: it would otherwise join the calls of several threads."""

    def __init__(self, inpainter: Inpainter) -> None:
        self._inpainter = inpainter
        self._lock = threading.Lock()
        self.stats = inpainter.stats
        self.close = inpainter.close

    @property
    def size(self) -> int:
        return self._inpainter.size

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        with self._lock:
            return self._inpainter.paint(requests)


def _labels(copy: Copy, outcomes: Sequence[Outcome]) -> list[str]:
    """The labels of a copy: new ones where an edit was accepted."""
    labels = list(copy.original.annotation.labels)
    for outcome in outcomes:
        if outcome.accepted and outcome.edit.index is not None:
            labels[outcome.edit.index] = str(outcome.edit.target)
    return labels


def _painted(record: Mapping[str, Any]) -> Painted:
    return Painted(len(record["provenance"]), record["accepted"])


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _groups(copies: Iterable[Copy], batch: int) -> Iterator[list[Copy]]:
    """Cut the copies into groups of at least a full batch of edits."""
    group: list[Copy] = []
    for copy in copies:
        group.append(copy)
        if sum(len(member.edits) for member in group) >= batch:
            yield group
            group = []
    if group:
        yield group


def _run(work: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Work on the items in threads; gives the results as they get ready, and begins nothing more after an error."""
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[Any]] = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    # A quarter of the default's time, and a sixth more bytes: a fast model must not wait for zlib.
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()


def _place_picture(source: Path, path: Path, link: bool) -> None:
    """Link or copy a picture that is not there; like every file of an export it appears as a whole."""
    if link:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source.resolve(), path)
        except OSError:  # another disk, or somebody else's file
            pass
        else:
            return
    manifest.write_whole(path, source.read_bytes())
