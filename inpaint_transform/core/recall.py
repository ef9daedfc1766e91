"""Recall: what a pool has of some edits goes into the images, and the rest is painted, now or later.

Every look is blended over the original image and kept as one rectangle. So what comes from the model and what comes
from the pool is put into an image in the same way, and the two give the same pixels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from inpaint_transform.core import blend
from inpaint_transform.core.boxes import Box, intersection
from inpaint_transform.core.jobs import Job, agree, make_request, paint_jobs, settle
from inpaint_transform.core.labels import class_name
from inpaint_transform.core.looks import Kept, Looks, LooksView, content_digest, look_key
from inpaint_transform.core.protocol import Inpainter, InpaintRequest, InpaintResult, Judge
from inpaint_transform.core.seeds import retry_seed

# By job: the part of its window that is painted, and the pixels.
_Parts = dict[Job, tuple[Box, np.ndarray]]


def recall(
    images: Sequence[np.ndarray],
    found: Sequence[list[Job | None]],
    inpainter: Inpainter,
    gate: Judge | None,
    looks: Looks,
    together: bool = False,
) -> list[np.ndarray]:
    """Put what is known of the jobs' looks into their images, and have the rest painted.

    Args:
        images: As ``paint_all`` takes them.
        found: The jobs of each image; those without a pixel to paint become None.
        inpainter: Who paints what is missing, where the pool waits for it.
        gate: Who judges it.
        looks: The pool.
        together: See ``paint_all``.

    Returns:
        The images, the very same array where nothing was painted.
    """
    start = time.perf_counter()
    together = together and len(images) > 1
    for job in [job for of_image in found for job in of_image if job is not None]:
        look = job.edit.look
        content = bytes.fromhex(look.content) if look else content_digest(job.image, job.edit.box, job.edit.window)
        job.key = look_key(job.edit, content, looks.settings, job.recipe.class_names)
    results: list[np.ndarray | None] = []
    parts: _Parts = {}
    attempts: dict[Job, int] = {}
    raw: dict[Job, InpaintResult] = {}
    with looks.reading() as view:
        for image, of_image in zip(images, found, strict=True):
            own = _ask(view, of_image, attempts, raw)
            if together or any(job in raw or (looks.wait and job in attempts) for job in of_image):
                # More will come: what is a view of the pool ends with it.
                parts |= {job: (box, pixels.copy()) for job, (box, pixels) in own.items()}
                results.append(None)
            else:
                results.append(_composed(image, of_image, own))
    elapsed = (time.perf_counter() - start) * 1e3
    for of_image in found:
        for number, other in enumerate(list(of_image)):
            if other is not None and other.reuse is not None:
                other.milliseconds = elapsed
            elif other is not None and not other.mask.any():
                del attempts[other]
                raw.pop(other, None)
                of_image[number] = None
    _judge_raw(raw, attempts, gate, looks, parts)
    missing = [job for job in attempts if job.reuse is None]
    if looks.wait and missing:
        paint_jobs(missing, inpainter, gate)
        for job in missing:
            job.reuse = "painted"
            _keep(job, looks, parts, final=True)
        # Whoever waits for painting may wait for a disk too, and asks for the same look again a moment later.
        looks.flush()
    elif missing:
        for job in missing:
            _leave_cold(job, attempts[job], gate, looks)
    if together:
        agree(found)
    return [
        _composed(image, of_image, parts) if result is None else result
        for image, of_image, result in zip(images, found, results, strict=True)
    ]


def _ask(
    view: LooksView, jobs: Sequence[Job | None], attempts: dict[Job, int], raw: dict[Job, InpaintResult]
) -> _Parts:
    """What the pool has of some jobs, as views of it; notes of the others how often they were tried."""
    parts: _Parts = {}
    for job in jobs:
        if job is None:
            continue
        kept = view.find(job.key)
        if kept is not None and kept.final:
            job.taken(kept)
            if kept.pixels is not None:
                parts[job] = kept.box, kept.pixels
            continue
        attempts[job] = kept.attempts if kept is not None else 0
        painted = view.painted(job.key, attempts[job])
        if painted is not None:
            raw[job] = painted
    return parts


def _judge_raw(
    raw: Mapping[Job, InpaintResult], attempts: dict[Job, int], gate: Judge | None, looks: Looks, parts: _Parts
) -> None:
    """Judge what was painted in the background, and keep what is said of it."""
    if not raw:
        return
    for job in raw:
        job.begin(attempts[job])
    settle(list(raw), list(raw.values()), gate)
    for job in raw:
        attempts[job] += 1
        final = job.accepted or job.attempts > job.recipe.retries
        if final:
            job.reuse = "painted"
        _keep(job, looks, parts, final)


def _keep(job: Job, looks: Looks, parts: _Parts, final: bool) -> None:
    box, pixels = job.blended() if job.accepted else ((0, 0, 0, 0), None)
    if pixels is not None:
        parts[job] = box, pixels
    scores = {name: float(score) for name, score in job.scores.items()}
    kept = Kept(
        job.accepted,
        job.reason,
        job.seed,
        job.attempts,
        scores,
        final,
        box,
        pixels,
        class_name(job.edit.target, job.recipe.class_names),
        job.edit.prompt,
    )
    looks.keep(job.key, kept, job.edit)


def _leave_cold(job: Job, attempt: int, gate: Judge | None, looks: Looks) -> None:
    """Keep the original pixels, and have the look painted in the background."""
    recipe, edit, original, mask = job.recipe, job.edit, job.original, job.mask
    job.reuse, job.accepted, job.reason, job.painted = "cold", False, "cold", None
    job.seed, job.attempts = edit.seed, 0

    def request(size: int) -> InpaintRequest:
        return make_request(recipe, edit, original, mask, retry_seed(edit.seed, attempt), size, gate)

    looks.paint_later(job.key, attempt, request)


def _composed(image: np.ndarray, jobs: Sequence[Job | None], parts: _Parts) -> np.ndarray:
    """An image with what was accepted; the very same array where nothing was."""
    result = image
    taken: list[Box] = []
    for job in jobs:
        if job is None or job not in parts or not job.accepted:
            continue
        if result is image:
            result = image.copy()
        (left, top, right, bottom), pixels = parts[job]
        x, y = job.edit.window[:2]
        place = (x + left, y + top, x + right, y + bottom)
        # The rectangle around a mask also has original pixels, which must not cover what another edit has painted.
        overlaps = any(intersection(place, other) for other in taken)
        where = job.mask[top:bottom, left:right] if overlaps else None
        blend.put(result[place[1] : place[3], place[0] : place[2]], pixels, where)
        taken.append(place)
    return result
