"""The plan of an export: which pictures, which copies of them, and what is painted in each copy.

A copy's edits depend on the seed, the picture and the number of the copy alone; only budgets look at all pictures.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from inpaint_transform.core import seeds
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets import layout as layouts
from inpaint_transform.datasets.files import BrokenFileError, Problem
from inpaint_transform.datasets.reading import Annotation, BoxFormat, read, read_classes, read_image
from inpaint_transform.datasets.writing import LabelledPicture, number_classes

if TYPE_CHECKING:
    import numpy as np


Found = tuple[layouts.Part, Annotation | Problem]


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
        height: In pixels.
        width: In pixels.
        split: ``train``, ``val`` or ``test``.
        name: Its path below the folder of its split, in the source as in the export.
    """

    annotation: Annotation
    height: int
    width: int
    split: str
    name: PurePosixPath

    def labelled(self) -> LabelledPicture:
        """What its label file is to say."""
        found = self.annotation
        return LabelledPicture(self.name, self.height, self.width, found.corners, found.labels)


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
    """

    originals: Sequence[Original]
    copies: Sequence[Copy]
    classes: Mapping[int, str]


def read_parts(
    parts: Iterable[layouts.Part], box_format: BoxFormat, names: Mapping[int, str] | None
) -> Iterator[Found]:
    """Read every part's pictures and boxes; see ``annotations.read``."""
    for part in parts:
        for item in read(part.images, part.boxes, box_format, names):
            yield part, item


def classes_of(
    parts: Iterable[layouts.Part], box_format: BoxFormat, names: Mapping[int, str] | None, to: BoxFormat
) -> Callable[[Iterable[str]], Mapping[int, str]]:
    """How to number the classes in the export, once the labels of all boxes are known; see ``number_classes``."""
    declared = [read_classes(part.boxes, box_format, names) for part in parts]
    return lambda labels: number_classes(declared, labels, box_format, to)


def make_plan(
    found: Iterable[Found],
    classes: Callable[[Iterable[str]], Mapping[int, str]],
    recipe: Recipe,
    settings: Settings,
    report: Callable[[Problem], None],
) -> Plan:
    """Decide all that an export will contain, without a model.

    Only pictures of the ``train`` split are painted: what a detector is measured on stays as it is.

    Args:
        found: See ``read_parts``.
        classes: Class id to name from the labels of all boxes, see ``classes_of``.
        recipe: What to paint and where.
        settings: The other settings.
        report: Is told every problem; its picture is left out.

    Raises:
        ValueError: No picture can be read together with its boxes, or nothing is eligible although copies are wanted.
    """
    originals: dict[str, Original] = {}
    edits: dict[str, list[list[Edit]]] = {}
    for part, item in found:
        if isinstance(item, Problem):
            report(item)
            continue
        split, name = part.place(item.image)
        # Pictures that differ in their suffix only would share a label file.
        key = f"{split}/{name.with_suffix('')}"
        if key in originals:
            report(Problem(item.image, None, f"{originals[key].annotation.image} is exported under the same name"))
            continue
        try:
            image = read_image(item.image)
        except BrokenFileError as error:
            report(error.problem)
            continue
        originals[key] = Original(item, image.shape[0], image.shape[1], split, name)
        wanted = settings.copies if split == layouts.TRAIN else 0
        edits[key] = [_plan_copy(image, item, recipe, settings, copy) for copy in range(1, wanted + 1)]
    if not originals:
        raise ValueError("nothing to export: no picture could be read together with its boxes")
    planned = [edit for copies in edits.values() for copy in copies for edit in copy]
    labels = {label for original in originals.values() for label in original.annotation.labels}
    names = classes(labels)
    unknown = sorted(set(settings.budget).union(map(str, recipe.include_labels or ())) - set(names.values()))
    if unknown:
        raise ValueError(f"no class is called {unknown[0]!r}; the classes are {', '.join(names.values())}")
    if recipe.relabel is not None:  # all that it can give, so that no draw decides how the classes are numbered
        names = classes(labels.union(recipe.relabel.labels()))
    if settings.copies and settings.p == 1 and not planned:
        raise ValueError(
            f"nothing to paint: no picture of the {layouts.TRAIN} split has a box whose shorter side is at least "
            f"{recipe.min_box_size} pixels and whose label has a prompt; with no copies the data set is converted only"
        )
    _keep_budget(edits, settings)
    order = sorted(originals, key=lambda key: (originals[key].split, originals[key].name))
    copies = []
    for key in order:
        original = originals[key]
        for number, chosen in enumerate(edits[key], start=1):
            if chosen:
                copies.append(Copy(original, _copy_name(original, number, originals), tuple(chosen)))
    return Plan([originals[key] for key in order], copies, names)


def _plan_copy(image: np.ndarray, annotation: Annotation, recipe: Recipe, settings: Settings, copy: int) -> list[Edit]:
    rng = seeds.content_rng(settings.seed, copy, image, annotation.boxes)
    if rng.random() >= settings.p:
        return []
    height, width = image.shape[:2]
    return plan(recipe, Scene(height, width, annotation.boxes, annotation.labels), rng)


def _keep_budget(edits: Mapping[str, list[list[Edit]]], settings: Settings) -> None:
    """Take edits away until no label has more than its budget; which ones is drawn among all pictures."""
    for label, most in settings.budget.items():
        all_copies = (chosen for key in sorted(edits) for chosen in edits[key])
        places = [(chosen, edit) for chosen in all_copies for edit in chosen if edit.label == label]
        rng = random.Random(f"{settings.seed}|{label}")  # noqa: S311 - augmentation, not cryptography
        for chosen, edit in rng.sample(places, max(len(places) - most, 0)):
            chosen.remove(edit)


def _copy_name(original: Original, number: int, originals: Mapping[str, Original]) -> PurePosixPath:
    """A name that no original has: exports of exports are data sets too."""
    stem = f"{original.name.stem}_painted{number}"
    while f"{original.split}/{original.name.with_name(stem)}" in originals:
        stem += "_"
    return original.name.with_name(f"{stem}.png")
