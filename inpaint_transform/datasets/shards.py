"""Shards: an export that several machines make a part of each, and that is put together in the end.

A shard paints every n-th group of the plan into a folder of its own beside the target. The plan, its groups and so the
pixels are those of a single run, so merging takes files as they are and writes what is about all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from inpaint_transform.datasets import manifest
from inpaint_transform.datasets.export_plan import Copy, Plan
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.reading import FORMATS
from inpaint_transform.reports.log import crops_of

# A manifest's line that is about no picture.
FINISHED = "shard"
PROVENANCE = "provenance.jsonl"
Group = TypeVar("Group")
# Folder and record of every copy that a shard has painted, by key.
Shards = Mapping[str, tuple[Path, dict[str, Any]]]


@dataclass(frozen=True)
class Shard:
    """One of several parts of an export.

    Attributes:
        number: From 1.
        count: How many there are.

    Raises:
        ValueError: There is no such part.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"shard={self}: use a number from 1 to the count, as in 2/8")

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read what is typed: ``"2/8"``.

        Raises:
            ValueError: It is something else.
        """
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if found is None:
            raise ValueError(f"shard={text!r}: give the number and the count, as in 2/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def folder(self, target: Path) -> Path:
        """Where it is written."""
        return target.with_name(f"{target.name}.shard-{self.number}-of-{self.count}")

    def share(self, groups: Sequence[Group]) -> Sequence[Group]:
        """The groups that are painted here."""
        return groups[self.number - 1 :: self.count]


def folders(target: Path) -> list[Path]:
    """The folders of all shards of a target.

    Raises:
        ValueError: There are none, some are missing, or they are of several counts.
    """
    found: dict[Shard, Path] = {}
    for folder in target.parent.glob("*"):
        match = re.fullmatch(re.escape(target.name) + r"\.shard-([0-9]+)-of-([0-9]+)", folder.name)
        if match is not None and folder.is_dir():
            found[Shard(int(match[1]), int(match[2]))] = folder
    counts = {shard.count for shard in found}
    if not found:
        raise ValueError(f"merge: no shards of {target} lie beside it; make them with shard='1/N' to 'N/N' first")
    if len(counts) > 1:
        raise ValueError(f"merge: beside {target} lie shards of {sorted(counts)} in all; remove those of another run")
    (count,) = counts
    missing = [str(shard) for number in range(1, count + 1) if (shard := Shard(number, count)) not in found]
    if missing:
        raise ValueError(f"merge: of the shards of {target}, {', '.join(missing)} are not beside it; make them first")
    return [found[Shard(number, count)] for number in range(1, count + 1)]


def _records(folder: Path, arguments: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a shard has painted: keys of copies and their records.

    Args:
        folder: The shard's.
        arguments: Those of the export that it is to be a part of.

    Raises:
        ValueError: It is no shard of this export, or not finished.
    """
    lines = [json.loads(line) for line in (folder / manifest.NAME).read_text().splitlines()]
    begun = lines[0]["arguments"] if lines else {}
    for name, value in json.loads(json.dumps(arguments)).items():
        if begun.get(name) != value:
            raise ValueError(
                f"{folder} was exported with {name}={begun.get(name)!r}, and now it is {value!r}; merge with the"
                " arguments of the shards"
            )
    if not any(line["key"] == FINISHED for line in lines[1:]):
        raise ValueError(f"{folder} is not finished: run the command of that shard again, and merge then")
    for line in lines[1:]:
        if "edits" in line:
            yield line["key"], {name: value for name, value in line.items() if name != "key"}


def finish(state: manifest.Manifest) -> None:
    """Note that a shard has come to its end, whatever it had to leave out."""
    if FINISHED not in state.records:
        state.add({FINISHED: {}})


def read(target: Path, arguments: Mapping[str, Any]) -> Shards:
    """What all shards of a target have painted.

    Args:
        target: The folder that is exported to.
        arguments: Those of the export.

    Raises:
        ValueError: A shard is missing or not finished, or is none of this export.
    """
    return {key: (folder, record) for folder in folders(target) for key, record in _records(folder, arguments)}


def merge(plan: Plan, to: BoxFormat, target: Path, state: manifest.Manifest, painted: Shards) -> Iterator[Copy]:
    """Take what shards have painted into the target, as one run would have written it.

    Args:
        plan: What the export will contain.
        to: How the boxes are written down.
        target: The folder that is exported to.
        state: What is there already.
        painted: What ``read`` has found.

    Raises:
        ValueError: A picture has changed since a shard painted it.
        InpaintError: The folder cannot be written to.
    """
    for copy in plan.copies:
        if copy.key in painted and copy.key not in state.records:
            folder, record = painted[copy.key]
            if record["edits"] != json.loads(json.dumps([edit.to_dict() for edit in copy.edits])):
                raise ValueError(f"{folder}: {copy.key}: the picture or its boxes have changed since; export it anew")
            state.add({copy.key: record}, _take(copy, to, plan, folder, record, target))
        yield copy


def _take(copy: Copy, to: BoxFormat, plan: Plan, folder: Path, record: Mapping[str, Any], target: Path) -> list[Path]:
    """Put the files of a copy into the target, and name them."""
    box_format = FORMATS[to]
    path = box_format.picture_path(copy.original.split, copy.name)
    crops = [crop for line in record["provenance"] if (crop := json.loads(line).get("crop"))]
    places = [(crops_of(place / PROVENANCE) for place in (folder, target)) for _ in crops]
    pairs = [(source / crop, own / crop) for crop, (source, own) in zip(crops, places, strict=True)]
    files = []
    if record["accepted"]:
        pairs.append((folder / path, target / path))
        found = box_format.label_file(copy.original.split, copy.labelled(record["labels"]), plan.classes)
        if found is not None:
            label, text = found
            manifest.write_whole(target / label, text.encode())
            files.append(target / label)
    for source, own in pairs:
        if not manifest.link_whole(own, source):
            manifest.write_whole(own, source.read_bytes())
        files.append(own)
    return files
