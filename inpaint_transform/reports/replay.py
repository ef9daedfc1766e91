"""Replay: from a record of the log back to its pixels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from inpaint_transform.core.boxes import intersection, sides
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.reports.log import digest

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.edit import Edit, Outcome
    from inpaint_transform.core.protocol import Inpainter
    from inpaint_transform.reports.log import Record


# Pixels of an instance mask: more than any picture has, and less than would fill the memory.
MAX_MASK = 2**30


def check(record: Record, image: np.ndarray) -> None:
    """Raise where an image is not the one that a record was made from.

    Raises:
        ValueError: It is another image.
    """
    found = digest(image)
    if found != record.image:
        called = f"The log calls it {record.key!r}" if record.key else "The log has no name for it: give log_key=..."
        raise ValueError(
            f"the image has the digest {found}, and the record was made from one with {record.image}: it is another "
            f"file, or was resized, flipped or decoded differently before the transform got it. {called}"
        )


def spec_of(record: Record, model: str | None = None) -> ModelSpec:
    """The model of a record, to be loaded in this process: a server that was started by hand then may be gone.

    Args:
        record: From a log.
        model: Preset, hub id or folder to use in its place, or None.

    Raises:
        ValueError: The record names no model that could be loaded.
    """
    here = {"serving": "local", "address": None}
    try:
        return ModelSpec.of({**record.model, **here, **({} if model is None else {"id": model})})
    except (TypeError, ValueError) as error:
        raise ValueError(f"the record is damaged: model: {error}") from error


def replay(record: Record, image: np.ndarray, inpainter: Inpainter) -> tuple[np.ndarray, Outcome]:
    """Paint a record's last attempt again.

    On the CPU the pixels are those that were painted then, bit by bit, if the model ran with ``reproducible=True`` or
    the edit had its call to itself; neighbours in a call can change a grey level.

    Args:
        record: From a log.
        image: The image as the transform got it then.
        inpainter: Who paints; for ``spec_of(record)``.

    Returns:
        The image with this one edit, whether or not it was accepted then, and what became of it now.

    Raises:
        ValueError: It is another image, or the record says what no transform can have written.
    """
    check(record, image)
    edit = dataclasses.replace(record.edit, seed=record.seed)
    _check_edit(edit)
    try:
        recipe = Recipe(**record.recipe, retries=0)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the record is damaged: recipe: {error}") from error
    painted, [outcome] = paint(recipe, image, [edit], inpainter)
    return painted, outcome


def _check_edit(edit: Edit) -> None:
    """Raise where an edit cannot have been planned. Its box may lie outside the image: it is then rejected again."""
    runs, (width, height) = edit.mask_runs, sides(edit.box)
    faults = {
        f"box {edit.box} does not lie in the window {edit.window}": intersection(edit.box, edit.window) != edit.box,
        f"strength {edit.strength} is not in (0, 1]": not 0 < edit.strength <= 1,
        f"seed {edit.seed} is not in [0, 2**63)": not 0 <= edit.seed < 2**63,
        "the outline has not four corners": edit.outline is not None and len(edit.outline) != 4,
        f"the RLE is none of a box of {width} x {height}": runs is not None
        and (sum(runs) != width * height or any(run < 0 for run in runs) or width * height > MAX_MASK),
    }
    for fault, there in faults.items():
        if there:
            raise ValueError(f"the record is damaged: {fault}")
