"""The log: one JSON line for every edit, written by any number of workers, and read again."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydantic

from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.labels import ClassNames, class_name
from inpaint_transform.core.measure import coverage
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe

logger = logging.getLogger(__name__)

VERSION = 1
PACKAGES = ("inpaint-transform", "torch", "diffusers")
# What of a recipe decides about the pixels once an edit is planned.
_RECIPE = ("shape", "feather", "match_border")


@dataclass(frozen=True)
class Record:
    """What a log line says of one edit.

    Attributes:
        edit: The edit: box, window, label, new label, prompt, strength and the rest; see ``core.Edit``.
        seed: Noise seed of the last attempt.
        attempts: How many times the model was asked.
        accepted: Whether the painted pixels were used.
        reason: Why the last attempt was rejected, or None.
        scores: What each gate said of the last attempt.
        fill: How well the painted object fills its box, in [0, 1], see ``measure.coverage``; None without a
            picture.
        milliseconds: How long the calls took that the edit had a part in, without the start of model and server.
        key: The sample's own name, or None.
        image: Digest of the image as the transform got it.
        epoch: The epoch set by ``set_epoch``.
        model: The model, as ``ModelSpec.of`` reads it.
        recipe: The settings that decide how the window is blended in.
        crop: File name of the saved pictures in the folder beside the log, or None.
        time: When, in UTC, ISO 8601.
        versions: Packages and their versions.
        version: Of this format.
        reuse: With a pool, whether the look was a ``"hit"``, ``"painted"`` or ``"cold"``: not painted yet, so that
            nobody has judged it. None without a pool; then a line has no such field.
        thresholds: From which score on each gate accepts, ``{gate: {field: value}}``; a line without any has no such
            field.
        names: Of the labels that are ids, ``{"label": name, "new_label": name}``, as ``class_names`` has them; a line
            without any has no such field.
    """

    edit: Edit
    seed: int
    attempts: int
    accepted: bool
    reason: str | None
    scores: Mapping[str, float]
    fill: float | None
    milliseconds: float
    key: str | None
    image: str
    epoch: int
    model: Mapping[str, Any]
    recipe: Mapping[str, Any]
    crop: str | None
    time: str
    versions: Mapping[str, str]
    version: int = VERSION
    reuse: str | None = None
    thresholds: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the box is called."""
        return self.names.get("label", str(self.edit.label))

    @property
    def new_label(self) -> str | None:
        """What it becomes once it is accepted; None where the label stays."""
        return None if self.edit.new_label is None else self.names.get("new_label", str(self.edit.new_label))

    def to_json(self) -> str:
        """The record as one line of JSON, without the line's end."""
        values = {**dataclasses.asdict(self), "edit": self.edit.to_dict()}
        for name in ("reuse", "thresholds", "names"):
            if not values[name]:
                del values[name]
        return json.dumps(values)

    @classmethod
    def from_json(cls, line: str | bytes) -> Record:
        """What ``to_json`` wrote.

        Raises:
            ValueError: The line is no JSON, no record, or a record of another version.
        """
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the line is no JSON ({error}); give a log, as BBoxInpaint(log=...) writes it") from error
        if not isinstance(values, dict) or "version" not in values:
            raise ValueError("the line is no record of an edit; give a log, as BBoxInpaint(log=...) writes it")
        if values["version"] != VERSION:
            versions = values.get("versions")
            release = versions.get("inpaint-transform") if isinstance(versions, dict) else None
            raise ValueError(
                f"the record has version {values['version']!r}, and this release reads version {VERSION}; read it with "
                f"the release that wrote it ({release or 'unknown'})"
            )
        edit = values.get("edit")
        unknown = sorted(values.keys() - _names(cls)) + sorted(
            set(edit if isinstance(edit, dict) else ()) - _names(Edit)
        )
        if unknown:
            raise ValueError(f"the record is damaged: {unknown[0]}: there is no such field")
        # Names of files may hold bytes that are no text; everywhere else they would only be in the way.
        text = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
        try:
            return _fields().validate_json(text, strict=True)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"the record is damaged: {place}: {first['msg']}") from error


def _names(kind: type[Record] | type[Edit]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@functools.cache
def _fields() -> pydantic.TypeAdapter[Record]:
    """What checks the types of a record's fields, and of its edit's; made at the first reading."""
    return pydantic.TypeAdapter(Record)


def digest(image: np.ndarray) -> str:
    """A fingerprint of an image's pixels, shape and dtype: 32 hex digits."""
    found = hashlib.blake2b(f"{image.shape}|{image.dtype}|".encode(), digest_size=16)
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def record_of(
    outcome: Outcome,
    image: str,
    recipe: Recipe,
    spec: ModelSpec,
    key: str | None = None,
    epoch: int = 0,
    crop: str | None = None,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> Record:
    """What a log says of an outcome.

    Args:
        outcome: What became of an edit.
        image: ``digest`` of the image before painting.
        recipe: The settings that it was painted with.
        spec: The model that painted it.
        key: The sample's name, or None.
        epoch: The epoch.
        crop: File name of the saved pictures, or None.
        thresholds: Those of the gate that judged it.
    """
    after = outcome.after()
    box = outcome.edit.box_in_window
    return Record(
        edit=outcome.edit,
        seed=outcome.seed,
        attempts=outcome.attempts,
        accepted=outcome.accepted,
        reason=outcome.reason,
        scores=dict(outcome.scores),
        fill=None if after is None else round(coverage(outcome.before, after, box), 4),
        milliseconds=round(outcome.milliseconds, 2),
        key=key,
        image=image,
        epoch=epoch,
        model=spec.to_dict(),
        recipe={name: getattr(recipe, name) for name in _RECIPE},
        crop=crop,
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        versions=_versions(),
        reuse=outcome.reuse,
        thresholds=dict(thresholds or {}),
        names=_names_of(outcome.edit, recipe.class_names),
    )


def _names_of(edit: Edit, class_names: ClassNames) -> dict[str, str]:
    """The names of those of an edit's labels that are called otherwise."""
    given = {"label": edit.label, "new_label": edit.new_label}
    named = {field: class_name(label, class_names) for field, label in given.items() if label is not None}
    return {field: name for field, name in named.items() if name != str(given[field])}


class Log:
    """A log of edits. Picklable, and safe in threads and forked processes: it holds nothing but its path.

    Every line is written by a single call to a file that is open for appending, which local file systems do not
    interleave; a network file system may, so log to a local disk.

    Args:
        path: The file; its folder is made when the first line is written, which is logged.
        save_crops: Also save each edit's window before and after as a PNG, in the folder ``PATH.crops``.

    Raises:
        ValueError: There is a folder of that name.
    """

    def __init__(self, path: str | os.PathLike[str], save_crops: bool = False) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise ValueError(
                f"log={str(path)!r} is a folder; give a file, for instance {str(self.path / 'edits.jsonl')!r}"
            )
        self._save_crops = save_crops

    def write(
        self,
        image: np.ndarray,
        outcomes: list[Outcome],
        recipe: Recipe,
        spec: ModelSpec,
        epoch: int,
        key: str | None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Append a line for each outcome.

        Args:
            image: The image before painting.
            outcomes: What became of its edits.
            recipe: The settings that they were painted with.
            spec: The model that painted them.
            epoch: The epoch.
            key: The sample's name, or None.
            thresholds: Those of the gate that judged them.

        Raises:
            OSError: The file cannot be written, for instance on a full disk.
        """
        if not outcomes:
            return
        if not self.path.parent.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            logger.info("made the folder %s for the log %s", self.path.parent.resolve(), self.path.name)
        pixels = digest(image)
        records = [
            record_of(
                outcome, pixels, recipe, spec, key, epoch, self._save(outcome) if self._save_crops else None, thresholds
            )
            for outcome in outcomes
        ]
        text = "".join(record.to_json() + "\n" for record in records).encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            if os.write(descriptor, text) != len(text):
                raise OSError(f"{self.path}: the disk is full; the last line of the log is broken")
        finally:
            os.close(descriptor)

    def _save(self, outcome: Outcome) -> str | None:
        crop = crop_of(outcome)
        if crop is None:
            return None
        folder = crops_of(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():x}-{os.getpid()}-{next(_numbers)}.png"
        # Whoever imports the transform imports this module, and few keep crops.
        from PIL import Image

        Image.fromarray(crop).save(folder / name)
        return name


_numbers = itertools.count()


def crop_of(outcome: Outcome) -> np.ndarray | None:
    """The window before and after, side by side, ``(h, 2 * w, 3)`` uint8; None where the model gave no picture."""
    after = outcome.after()
    return None if after is None else np.hstack([outcome.before, after])


def crops_of(log: Path) -> Path:
    """The folder with the pictures of a log."""
    return log.with_name(f"{log.name}.crops")


@functools.cache
def _versions() -> dict[str, str]:
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def read(
    path: str | os.PathLike[str], on_damage: Callable[[ValueError], None] | None = None
) -> Iterator[tuple[int, Record]]:
    """The records of a log and their line numbers, counted from 1.

    A last line without an end, as a killed process or a full disk leaves it, is left out with a warning.

    Args:
        path: The log.
        on_damage: Is told of every line that is no record of this version, which is then left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no record of this version, and ``on_damage`` is None; names file and line.
    """
    with _opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                logger.warning("%s, line %d: the line is cut off and is left out", path, number)
                return
            try:
                record = Record.from_json(line)
            except ValueError as error:
                damage = ValueError(f"{path}, line {number}: {error}")
                if on_damage is None:
                    raise damage from error
                on_damage(damage)
            else:
                yield number, record


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    """A log, for reading.

    Raises:
        FileNotFoundError: There is none; says what it may be called.
    """
    log = Path(path)
    if log.is_dir():
        inside = sorted(one.name for one in log.glob("*.jsonl"))
        raise FileNotFoundError(
            f"{log} is a folder; give the log in it" + (f": {', '.join(map(str, inside[:3]))}" if inside else "")
        )
    if not log.exists():
        raise FileNotFoundError(
            f"{log}: there is no such log; BBoxInpaint(log=...) writes one with its first edit, and export writes "
            f"DST/provenance.jsonl"
        )
    return log.open("rb")


def at(path: str | os.PathLike[str], line: int) -> Record:
    """The record of one line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no such line, or it is no record of this version.
    """
    last = 0
    with _opened(path) as lines:
        for last, text in enumerate(lines, 1):
            if last == line:
                try:
                    return Record.from_json(text)
                except ValueError as error:
                    raise ValueError(f"{path}, line {line}: {error}") from error
    raise ValueError(f"{path} has {last} lines, and no line {line}")
