"""The plan of an export: which pictures, which copies of them, and what is painted in each copy.

A copy's edits depend on the seed, the picture and the number of the copy alone; only budgets look at all pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from inpaint_transform.core import seeds
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.plan import Scene, obstacles, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.classes import number_classes
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import Annotation, BoxFormat, LabelledPicture
from inpaint_transform.datasets.images import COMMON_SUFFIXES, Pictures
from inpaint_transform.datasets.reading import Source
from inpaint_transform.datasets.splits import TRAIN
from inpaint_transform.datasets.templates import Templates, check_labels, new_classes, no_class

# Why a box is left alone because of its label, as ``plan.obstacles`` says it.
BY_LABEL = ("not in include_labels", "in exclude_labels", "box_p is 0")
# JPEG files under names that trainers do not look for.
_JPEG_SUFFIXES = (".jfif", ".jif", ".jpe", ".mpo")
# Of a file name, in bytes, on the usual file systems.
MAX_NAME = 255


@dataclass(frozen=True)
class Settings:
    """What an export makes of a data set.

    Attributes:
        to: How the boxes are written down.
        copies: Painted copies of each picture, >= 0; with none the export is a conversion.
        p: Probability of each copy, in [0, 1].
        seed: Decides every draw.
        budget: Most boxes that are painted of a label, each >= 0; a label that is not in it has no limit.
        link: Whether the originals are hard links where that is possible, rather than copies.
        save_crops: Whether every edit's window, before and after, is saved beside the provenance.

    Raises:
        ValueError: A field is out of its range.
    """

    to: BoxFormat
    copies: int = 1
    p: float = 1.0
    seed: int = 0
    budget: Mapping[str, int] = dataclasses.field(default_factory=dict)
    link: bool = True
    save_crops: bool = False

    def __post_init__(self) -> None:
        if self.copies < 0:
            raise ValueError(f"copies={self.copies}: use a count >= 0")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p={self.p}: use a probability in [0, 1]")
        if any(most < 0 for most in self.budget.values()):
            raise ValueError(f"budget={dict(self.budget)}: use counts >= 0")


@dataclass(frozen=True)
class Original:
    """One picture of the source.

    Attributes:
        annotation: The picture and its boxes.
        split: ``train``, ``val`` or ``test``.
        name: Its path below the folder of its split, in the source as in the export, but for a suffix that trainers do
            not look for.
    """

    annotation: Annotation
    split: str
    name: PurePosixPath

    @property
    def key(self) -> str:
        """Its name in the manifest."""
        return f"{self.split}/{self.name}"

    @property
    def encoded(self) -> bool:
        """Whether its file is written anew, as PNG: of a type that trainers cannot read."""
        return self.name.suffix.lower() == ".png" != self.annotation.image.suffix.lower()

    def identity(self) -> dict[str, str]:
        """What tells this picture and its labels from any other."""
        found = self.annotation
        labels = json.dumps([found.corners, found.labels]).encode()
        return {"picture": found.digest, "labels": hashlib.blake2b(labels, digest_size=16).hexdigest()}

    def labelled(self) -> LabelledPicture:
        """What its label file is to say."""
        found = self.annotation
        return LabelledPicture(self.name, found.height, found.width, found.corners, found.labels)


@dataclass(frozen=True)
class Copy:
    """One painted copy of a picture.

    Attributes:
        original: What is painted over.
        name: Its path below the folder of its split.
        edits: What to paint, at least one edit.
    """

    original: Original
    name: PurePosixPath
    edits: tuple[Edit, ...]

    @property
    def key(self) -> str:
        """What the manifest calls it."""
        return f"{self.original.split}/{self.name}"

    def labelled(self, labels: Sequence[str]) -> LabelledPicture:
        """What its label file is to say: an edit may change a label, and never a box."""
        return dataclasses.replace(self.original.labelled(), name=self.name, labels=labels)


@dataclass(frozen=True)
class Plan:
    """All that an export will contain.

    Attributes:
        originals: In the order of their names.
        copies: In the order of their originals.
        classes: Class id to name, in the written data set.
        new_classes: What to say of those among them that a swap brings in.
    """

    originals: Sequence[Original]
    copies: Sequence[Copy]
    classes: Mapping[int, str]
    new_classes: Sequence[str] = ()


def make_plan(
    source: Source,
    recipe: Recipe,
    settings: Settings,
    report: Callable[[Problem], None],
    balance: BalanceSheet,
    pictures: Pictures,
    templates: Templates,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Plan:
    """Decide all that an export will contain, without a model.

    Only pictures of the ``train`` split are painted: what a detector is measured on stays as it is.

    Args:
        source: What is read.
        recipe: What to paint and where.
        settings: The other settings.
        report: Is told every problem; its picture is left out.
        balance: Is told what is seen and left out.
        pictures: Decodes, and keeps the pictures that will be painted.
        templates: The prompts of each label, which must be a class.
        progress: Wraps what is read, as ``tqdm`` does.

    Raises:
        ValueError: No picture can be read together with its boxes, a label is no class, or nothing is eligible although
            copies are wanted.
    """
    declared = source.declared_classes()
    originals: dict[str, Original] = {}
    edits: dict[str, list[list[Edit]]] = {}
    found: Iterable[Annotation | Problem] = source.read(balance, pictures)
    for item in progress(found, desc="reading", total=len(source)) if progress is not None else found:
        if isinstance(item, Problem):
            report(item)
            continue
        place = source.places[item.image]
        original = Original(item, place.split, _placed_name(place.name))
        # Pictures that differ in their suffix only would share a label file.
        key = f"{place.split}/{place.name.with_suffix('')}"
        if key in originals:
            taken = originals[key].annotation.image
            report(Problem(item.image, None, f"{taken} is exported under the same name", "of the same name"))
            balance.lose(item, "of the same name as another")
            continue
        originals[key] = original
        wanted = settings.copies if place.split == TRAIN else 0
        edits[key] = [_plan_copy(pictures, item, recipe, settings, copy) for copy in range(1, wanted + 1)]
        if any(edits[key]) or original.encoded:
            pictures.keep(item.image)
    if not originals:
        raise ValueError("nothing to export: no picture could be read together with its boxes")
    planned = [edit for copies in edits.values() for copy in copies for edit in copy]
    labels = {label for original in originals.values() for label in original.annotation.labels}
    names = number_classes(declared, labels, source.box_format, settings.to)
    _check_labels(names, recipe, settings, templates)
    new = new_classes(recipe, [*names.values()])
    if recipe.relabel is not None:  # all that it can give, so that no draw decides how the classes are numbered
        names = number_classes(declared, labels.union(recipe.relabel.labels()), source.box_format, settings.to)
    if settings.copies and settings.p == 1 and not planned:
        raise ValueError(
            f"nothing to paint: no picture of the {TRAIN} split has a box whose shorter side is at least "
            f"{recipe.min_box_size} pixels and whose label has a prompt; with no copies the data set is converted only"
        )
    planned_for = {key for key, copies in edits.items() if any(copies)}
    _keep_budget(edits, settings)
    _note_unpainted(originals, edits, planned_for, recipe, settings, balance)
    order = sorted(originals, key=lambda key: (originals[key].split, originals[key].name))
    copies = []
    for key in order:
        original = originals[key]
        for number, chosen in enumerate(edits[key], start=1):
            if chosen:
                copies.append(Copy(original, _copy_name(original, number, originals), tuple(chosen)))
    return Plan([originals[key] for key in order], copies, names, new)


def _check_labels(names: Mapping[int, str], recipe: Recipe, settings: Settings, templates: Templates) -> None:
    new = recipe.relabel.labels() if recipe.relabel is not None else set()
    check_labels(templates, [*names.values(), *sorted(new - set(names.values()))])
    unknown = sorted(set(settings.budget).union(map(str, recipe.include_labels or ())) - set(names.values()))
    if unknown:
        raise ValueError(no_class(unknown[0], [*names.values()]))


def _placed_name(name: PurePosixPath) -> PurePosixPath:
    """A picture's name in the export: trainers look for few suffixes."""
    suffix = name.suffix.lower()
    if suffix in COMMON_SUFFIXES:
        return name
    return name.with_suffix(".jpg" if suffix in _JPEG_SUFFIXES else ".png")


def _plan_copy(pictures: Pictures, annotation: Annotation, recipe: Recipe, settings: Settings, copy: int) -> list[Edit]:
    image = pictures.load(annotation.image)
    rng = seeds.content_rng(settings.seed, copy, image, annotation.boxes)
    if rng.random() >= settings.p:
        return []
    height, width = image.shape[:2]
    return plan(recipe, Scene(height, width, annotation.boxes, annotation.labels), rng)


def _note_unpainted(
    originals: Mapping[str, Original],
    edits: Mapping[str, list[list[Edit]]],
    planned_for: Collection[str],
    recipe: Recipe,
    settings: Settings,
    balance: BalanceSheet,
) -> None:
    """Enter the training pictures of which there will be no copy, with what keeps them from one."""
    why: Counter[str] = Counter()
    for key, original in originals.items():
        if original.split == TRAIN and settings.copies and not any(edits[key]):
            why["beyond the budget" if key in planned_for else _unpainted(original.annotation, recipe)] += 1
    if why:
        reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
        balance.note(f"training pictures without a painted copy ({reasons})", why.total())


def _unpainted(annotation: Annotation, recipe: Recipe) -> str:
    """Why a picture has no painted copy: what keeps most of its boxes from being painted."""
    if not annotation.boxes:
        return "without boxes"
    reasons = obstacles(recipe, Scene(annotation.height, annotation.width, annotation.boxes, annotation.labels))
    if None in reasons:
        return "not drawn"
    wanted = [reason for reason in reasons if reason not in BY_LABEL]
    if not wanted:
        return "without a box of a label that is painted"
    [(reason, _)] = Counter(wanted).most_common(1)
    return f"with boxes {reason}"


def _keep_budget(edits: Mapping[str, list[list[Edit]]], settings: Settings) -> None:
    """Take edits away until no label has more than its budget; which ones is drawn among all pictures."""
    for label, most in settings.budget.items():
        all_copies = (chosen for key in sorted(edits) for chosen in edits[key])
        places = [(chosen, edit) for chosen in all_copies for edit in chosen if edit.label == label]
        rng = random.Random(f"{settings.seed}|{label}")  # noqa: S311 - augmentation, not cryptography
        for chosen, edit in rng.sample(places, max(len(places) - most, 0)):
            chosen.remove(edit)


def _copy_name(original: Original, number: int, originals: Mapping[str, Original]) -> PurePosixPath:
    """A name that no original has (exports of exports are data sets too), and that no file system finds too long."""
    tail = f"_painted{number}"
    stem = original.name.stem
    while f"{original.split}/{original.name.with_name(stem + tail)}" in originals:
        tail += "_"
    room = MAX_NAME - len(f"{tail}.png")
    if len(stem.encode()) > room:
        unique = hashlib.blake2b(stem.encode(), digest_size=6).hexdigest()
        stem = stem.encode()[: room - len(unique) - 1].decode(errors="ignore") + f"_{unique}"
    return original.name.with_name(f"{stem}{tail}.png")


def groups_of(copies: Iterable[Copy], batch: int) -> list[list[Copy]]:
    """Cut the copies into groups of at least a full batch of edits."""
    groups: list[list[Copy]] = []
    group: list[Copy] = []
    for copy in copies:
        group.append(copy)
        if sum(len(member.edits) for member in group) >= batch:
            groups.append(group)
            group = []
    return [*groups, group] if group else groups
