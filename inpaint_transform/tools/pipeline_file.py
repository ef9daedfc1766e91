"""Pipeline files: the ``BBoxInpaint`` that ``A.save`` has written, alone or among others in a ``Compose``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albumentations as A

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.faces.albumentations import BBoxInpaint


@dataclass(frozen=True)
class Saved:
    """A transform that was saved.

    Attributes:
        inpaint: The transform.
        before: What stands before it in its pipeline, in their order.
    """

    inpaint: BBoxInpaint
    before: Sequence[A.BasicTransform] = ()

    @property
    def pipeline_before(self) -> A.Compose | None:
        """What stands before it, for pixel boxes with the label fields that ``paint_ahead.prepared`` gives; or None."""
        if not self.before:
            return None
        return A.Compose(list(self.before), bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "wanted"]))

    @property
    def recipe(self) -> Recipe:
        """What it paints and where, with the classes called by their names, as the labels of a data set on disk are.

        Raises:
            ValueError: It speaks of ids, and has no ``class_names``.
        """
        return self.inpaint.editor.recipe.spoken([""])


def load(path: Path) -> Saved:
    """Read what ``A.save`` has written, as JSON or, by its suffix, as YAML.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is something else, or has not exactly one ``BBoxInpaint`` in its outermost ``Compose``.
    """
    loaded = _load(path)
    if isinstance(loaded, BBoxInpaint):
        return Saved(loaded)
    listed = list(getattr(loaded, "transforms", ()))
    found = [number for number, transform in enumerate(listed) if isinstance(transform, BBoxInpaint)]
    if len(found) != 1:
        raise ValueError(f"{path} has {len(found)} BBoxInpaint in its outermost Compose; save a pipeline with one")
    return Saved(listed[found[0]], listed[: found[0]])


def _load(path: Path) -> Any:
    data_format = "yaml" if path.suffix.lower() in (".yaml", ".yml") else "json"
    try:
        return A.load(path, data_format=data_format)
    except OSError:
        raise
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing or not known; give a file that A.save has written") from error
    except Exception as error:
        # A constructor may raise whatever a damaged file makes it trip over.
        raise ValueError(f"{path}: not a pipeline that A.save has written ({error})") from error
