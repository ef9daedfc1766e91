"""Painting: the windows of some edits to the model, and what it makes of them, once judged, into the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inpaint_transform.core import blend
from inpaint_transform.core.edit import Edit, Outcome, failed
from inpaint_transform.core.jobs import Job, agree, paint_jobs
from inpaint_transform.core.looks import Looks
from inpaint_transform.core.protocol import Inpainter, Judge
from inpaint_transform.core.recall import recall
from inpaint_transform.core.recipe import Recipe


def paint(
    recipe: Recipe, image: np.ndarray, edits: Sequence[Edit], inpainter: Inpainter, gate: Judge | None = None
) -> tuple[np.ndarray, list[Outcome]]:
    """Paint the edits of one image; see ``paint_all``."""
    images, outcomes = paint_all(recipe, [image], [edits], inpainter, gate)
    return images[0], outcomes[0]


def paint_all(
    recipe: Recipe,
    images: Sequence[np.ndarray],
    edits: Sequence[Sequence[Edit]],
    inpainter: Inpainter,
    gate: Judge | None = None,
    together: bool = False,
    looks: Looks | None = None,
) -> tuple[list[np.ndarray], list[list[Outcome]]]:
    """Paint the edits of several images in one batch.

    Every window is cut from the original image, so edits do not see each other's pixels. A rejected output is tried
    again with the next seed up to ``recipe.retries`` times; all retries of a round share one call. What is still
    rejected keeps its original pixels.

    Args:
        recipe: The settings that shaped the edits.
        images: ``(H, W)`` or ``(H, W, C)`` each; uint8, uint16, or float32 in [0, 1]. Never written to.
        edits: The edits of each image. Boxes that do not lie in the image (a replay on another size) are clipped,
            and rejected where nothing remains.
        inpainter: Who paints.
        gate: Who judges what was painted, beyond the checks that always run: finite, not flat, not flagged, changed.
        together: Whether the images are one sample with the same edits, so that each edit is in all or in none.
        looks: Where to find what was painted before, and to keep what is painted now; None for nowhere.

    Returns:
        The images, the very same array where nothing was painted, and an outcome for each of their edits.

    Raises:
        TypeError: An image's dtype cannot be painted.
        ValueError: An image's shape cannot be painted, or float values leave [0, 1].
        InpaintError: The inpainter or the gate failed.
    """
    found: list[list[Job | None]] = []
    for image, wanted in zip(images, edits, strict=True):
        if wanted:
            blend.check_image(image)
        found.append([_job(recipe, image, edit, looks) for edit in wanted])
    if looks is not None:
        results = recall(images, found, inpainter, gate, looks, together)
    else:
        for of_image in found:
            of_image[:] = [job if job is not None and job.mask.any() else None for job in of_image]
        paint_jobs([job for of_image in found for job in of_image if job is not None], inpainter, gate)
        if together:
            agree(found)
        results = [_composed(image, of_image) for image, of_image in zip(images, found, strict=True)]
    outcomes = [
        [failed(edit, "outside the image") if job is None else job.outcome() for edit, job in zip(*pair, strict=True)]
        for pair in zip(edits, found, strict=True)
    ]
    return results, outcomes


def _job(recipe: Recipe, image: np.ndarray, edit: Edit, looks: Looks | None) -> Job | None:
    fitted = edit.fitted(*image.shape[:2])
    return None if fitted is None else Job(recipe, fitted, image, looks=looks)


def _composed(image: np.ndarray, jobs: Sequence[Job | None]) -> np.ndarray:
    """An image with what was accepted; the very same array where nothing was."""
    result = image
    for job in jobs:
        if job is not None and job.accepted and job.painted is not None and job.alpha is not None:
            if result is image:
                result = image.copy()
            blend.blend_into(result, job.painted, job.edit.window, job.alpha)
    return result
