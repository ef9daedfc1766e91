"""Draws: which training pictures each has, and the sets on disk that a training command reads.

All arms of a draw see the same pictures. A draw of more pictures has those of a draw of fewer. Pictures of val and test
are in every set, as they are.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets import export_plan, reading, splits
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.export_job import ExportJob
from inpaint_transform.datasets.export_plan import Original, Plan
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.manifest import Manifest, check_apart
from inpaint_transform.datasets.templates import PROMPT, Templates
from inpaint_transform.tools.study import transforms
from inpaint_transform.tools.study.config import Arm, Data
from inpaint_transform.tools.study.keys import ConfigError

# Threads that read and write while sets are made.
WORKERS = 2


@dataclass(frozen=True)
class DataSet:
    """A data set that draws are made of.

    Attributes:
        data: What the configuration says of it.
        plan: All its pictures.
    """

    data: Data
    plan: Plan

    @property
    def training(self) -> list[Original]:
        """The training pictures, in the order of their names."""
        return [original for original in self.plan.originals if original.split == splits.TRAIN]

    def draw(self, seed: int, n: int | None) -> Draw:
        """Draw training pictures.

        Args:
            seed: The draw's.
            n: How many; None for all.

        Raises:
            ConfigError: There are fewer.
        """
        training = self.training
        if n is not None and n > len(training):
            raise ConfigError(f"n={n}: {self.data.source} has {len(training)} training pictures; use n <= that, or all")
        order = random.Random(f"study|{seed}").sample(training, len(training))  # noqa: S311 - not cryptography
        chosen = set(order[:n])
        kept = [one for one in self.plan.originals if one.split != splits.TRAIN or one in chosen]
        return Draw(self, seed, tuple(kept))


@dataclass(frozen=True)
class Draw:
    """The pictures of one draw.

    Attributes:
        dataset: Of which they are.
        seed: The draw's.
        originals: Drawn training pictures, and all of val and test.
    """

    dataset: DataSet
    seed: int
    originals: Sequence[Original]

    @functools.cached_property
    def digest(self) -> str:
        """Fingerprint of the pictures, their labels and how they are written."""
        pictures = [[original.key, original.identity()] for original in self.originals]
        return digest_of([self.dataset.data.to.value, sorted(self.dataset.plan.classes.items()), pictures])

    def write(self, folder: Path, report: Callable[[Problem], None]) -> Path:
        """Write the pictures as a data set; a set that is there is left alone, a broken-off one is finished.

        Returns:
            The folder of the set.
        """
        target = folder / self.digest[:12]

        def make() -> None:
            plan = Plan(self.originals, [], self.dataset.plan.classes)
            settings, pictures = export_plan.Settings(self.dataset.data.to, copies=0), Pictures()
            with Manifest(target, {"draw": self.digest}) as state:
                job = ExportJob(plan, target, settings, state, ModelSpec("tiny"), pictures, report)
                for _ in job.place_originals(WORKERS):
                    pass
                job.finish(BalanceSheet())

        _once(target, make)
        return target

    def paint(self, folder: Path, arm: Arm, original: Path, report: Callable[[Problem], None]) -> Path:
        """Write the pictures with the painted copies of an arm.

        Args:
            folder: Of all sets.
            arm: With a transform that is exported.
            original: The set that ``write`` has written.
            report: Is told of problems.

        Returns:
            The folder of the set.

        Raises:
            ConfigError: The transform does what a set on disk cannot hold.
            InpaintError: Painting failed.
        """
        from inpaint_transform.datasets.export import export

        if arm.transform is None:
            return original
        inpaint, model = transforms.painting_of(arm.transform), transforms.model_of(arm.transform)
        content = [self.digest, self.seed, transforms.identity_of(arm.transform), arm.copies]
        target = folder / f"{original.name}-{arm.name}-{digest_of(content)[:12]}"

        def make() -> None:
            editor = inpaint.editor
            export(
                original,
                target,
                self.dataset.data.to,
                recipe=editor.recipe,
                gate=editor.gate,
                model=model,
                copies=arm.copies,
                p=inpaint.p,
                seed=self.seed,
                workers=WORKERS,
                report=report,
            )

        _once(target, make)
        return target


def read(
    data: Data, out: Path, report: Callable[[Problem], None], progress: Callable[..., Iterable[Any]] | None = None
) -> DataSet:
    """Read a data set; what is broken is reported and left out.

    Args:
        data: Where it is.
        out: The study's folder, which must lie elsewhere.
        report: Is told of problems.
        progress: Wraps what takes long, as ``tqdm`` does.

    Raises:
        ValueError: It cannot be found or read.
    """
    names = reading.read_names(data.names) if data.names is not None else None
    found = reading.find(data.source, data.box_format, data.boxes, names, data.split, data.clip)
    try:
        check_apart(out, data.source, found.parts)
    except ValueError as error:
        raise ConfigError(f"out: {error}") from error
    settings = export_plan.Settings(data.to, copies=0)
    templates: Templates = {None: [PROMPT]}
    plan = export_plan.make_plan(found, Recipe(), settings, report, BalanceSheet(), Pictures(), templates, progress)
    dataset = DataSet(data, plan)
    if not dataset.training:
        raise ConfigError(
            f"data.source={str(data.source)!r}: it has no training pictures; say which are with data.split"
        )
    return dataset


def data_file(folder: Path, to: BoxFormat) -> Path:
    """What a training command is given: the ``data.yaml`` of a YOLO set, the folder of any other."""
    return folder / "data.yaml" if to is BoxFormat.YOLO else folder


def digest_of(value: Any) -> str:
    """Fingerprint of JSON values."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _once(target: Path, make: Callable[[], None]) -> None:
    """Make a set unless it is finished. A note beside it says so: it may be moved with its study since."""
    note = target.with_name(f"{target.name}.finished")
    if note.exists() and target.is_dir():
        return
    try:
        make()
    except InpaintError as error:
        raise InpaintError(f"the set {target}: {error}") from error
    note.touch()
