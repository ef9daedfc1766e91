"""Painting: the windows of some edits to the model, and what it makes of them, once judged, into the images."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inpaint_transform.core import blend, crops, seeds
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.edit import Edit, Outcome, failed
from inpaint_transform.core.labels import noun
from inpaint_transform.core.measure import mean_change
from inpaint_transform.core.protocol import Candidate, Inpainter, InpaintRequest, InpaintResult, Judge, Question
from inpaint_transform.core.recipe import Recipe

# How many other classes a gate is told of: a question to CLIP has room for 256 texts.
MAX_NOUNS = 200
# In grey levels: a mean change below it is no repainting.
MIN_CHANGE = 1.0


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

    Returns:
        The images, the very same array where nothing was painted, and an outcome for each of their edits.

    Raises:
        TypeError: An image's dtype cannot be painted.
        ValueError: An image's shape cannot be painted, or float values leave [0, 1].
        InpaintError: The inpainter or the gate failed.
    """
    found: list[list[_Job | None]] = []
    for image, wanted in zip(images, edits, strict=True):
        if wanted:
            blend.check_image(image)
        found.append([_job(recipe, image, edit) for edit in wanted])
    jobs = [job for of_image in found for job in of_image if job is not None]
    for attempt in range(recipe.retries + 1):
        pending = [job for job in jobs if not job.accepted]
        if not pending:
            break
        start = time.perf_counter()
        requests = [job.request(recipe, attempt, inpainter.size, gate) for job in pending]
        for job, result in zip(pending, inpainter.paint(requests), strict=True):
            job.take(recipe, result)
        if gate is not None:
            _judge(recipe, gate, [job for job in pending if job.accepted])
        elapsed = (time.perf_counter() - start) * 1e3
        for job in pending:
            job.milliseconds += elapsed
    if together:
        for same in zip(*found, strict=True):
            _agree(same)

    results = [_composed(image, of_image) for image, of_image in zip(images, found, strict=True)]
    outcomes = [
        [failed(edit, "outside the image") if job is None else job.outcome() for edit, job in zip(*pair, strict=True)]
        for pair in zip(edits, found, strict=True)
    ]
    return results, outcomes


def _job(recipe: Recipe, image: np.ndarray, edit: Edit) -> _Job | None:
    fitted = edit.fitted(*image.shape[:2])
    if fitted is None or not (mask := fitted.mask(recipe.shape)).any():
        return None
    return _Job(fitted, _window_rgb8(image, fitted.window), mask, image.shape[:2])


def _agree(jobs: Sequence[_Job | None]) -> None:
    """Take an edit back everywhere where it was not accepted in all of a sample's images."""
    if all(job is not None and job.accepted for job in jobs):
        return
    for job in jobs:
        if job is not None and job.accepted:
            job.accepted, job.reason = False, "rejected in another image"


def _composed(image: np.ndarray, jobs: Sequence[_Job | None]) -> np.ndarray:
    """An image with what was accepted; the very same array where nothing was."""
    result = image
    for job in jobs:
        if job is not None and job.accepted and job.painted is not None:
            if result is image:
                result = image.copy()
            blend.blend_into(result, job.painted, job.edit.window, job.alpha)
    return result


@dataclass(eq=False)
class _Job:
    """One edit on its way through the attempts."""

    edit: Edit
    original: np.ndarray
    mask: np.ndarray
    image_size: tuple[int, ...]
    accepted: bool = False
    reason: str | None = None
    seed: int = 0
    attempts: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    milliseconds: float = 0.0
    painted: np.ndarray | None = None
    answer: tuple[float, ...] | None = None
    alpha: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    _crop: tuple[np.ndarray, np.ndarray] | None = None

    def request(self, recipe: Recipe, attempt: int, size: int, gate: Judge | None) -> InpaintRequest:
        """What to ask the model for in this attempt."""
        if self._crop is None:
            whole = (0, 0, *sides(self.edit.window))
            self._crop = crops.crop(self.original, whole, size), crops.crop_mask(self.mask, size)
        crop, mask = self._crop
        self.seed, self.attempts = seeds.retry_seed(self.edit.seed, attempt), attempt + 1
        question = None
        if gate is not None and (texts := gate.texts(*_nouns(recipe, self.edit, gate))) is not None:
            question = Question(crops.scaled_box(self.edit.box, self.edit.window, size), texts)
        edit = self.edit
        return InpaintRequest(crop, mask, edit.prompt, edit.negative_prompt, edit.strength, self.seed, question)

    def take(self, recipe: Recipe, result: InpaintResult) -> None:
        """What the model has painted; accepted unless a gate minds."""
        self.accepted, self.reason, self.scores = result.image is not None, result.rejected, {}
        self.painted, self.answer = None, result.answer
        if result.image is None:
            return
        self.painted = crops.uncrop(result.image, self.edit.window)
        if recipe.match_border:
            self.painted = blend.match_border(self.painted, self.original, self.mask)
        if not self.alpha.size:
            blend_width = recipe.feather * min(sides(self.edit.box))
            self.alpha = blend.feather_alpha(self.mask, blend_width, self.edit.window, *self.image_size)
        if mean_change(self.painted, self.original, self.mask) < MIN_CHANGE:
            self.accepted, self.reason = False, "unchanged"

    def after(self) -> np.ndarray | None:
        """The window as it would be: ``(h, w, 3)`` uint8."""
        if self.painted is None:
            return None
        window = self.original.copy()
        blend.blend_into(window, self.painted, (0, 0, *sides(self.edit.window)), self.alpha)
        return window

    def outcome(self) -> Outcome:
        """What became of the edit."""
        return Outcome(
            self.edit,
            self.accepted,
            self.reason,
            self.seed,
            self.attempts,
            self.scores,
            self.milliseconds,
            self.original,
            self.after,
        )


def _judge(recipe: Recipe, gate: Judge, jobs: Sequence[_Job]) -> None:
    """Let a gate judge what was painted, all of it in one call."""
    candidates = []
    for job in jobs:
        painted, others = _nouns(recipe, job.edit, gate)
        after = job.after()
        if after is None:
            raise RuntimeError("a job without a picture was accepted")
        candidates.append(
            Candidate(
                original=job.original,
                painted=after,
                box=job.edit.box_in_window,
                label=job.edit.target,
                noun=painted,
                old_label=job.edit.label,
                other_nouns=others,
                answer=job.answer,
            )
        )
    for job, verdict in zip(jobs, gate.judge(candidates), strict=True):
        job.accepted, job.reason, job.scores = verdict.accepted, verdict.reason, dict(verdict.scores)


def _nouns(recipe: Recipe, edit: Edit, gate: Judge) -> tuple[str, tuple[str, ...]]:
    """The word for what is painted, and the words for all else that it could be taken for, the old class first."""
    # Only CLIP has to be told words that mean something.
    painted, old = (noun(label, recipe.class_names, words=gate.clip is not None) for label in (edit.target, edit.label))
    others = (other for other in dict.fromkeys([old, *recipe.nouns()]) if other != painted)
    return painted, tuple(itertools.islice(others, MAX_NOUNS))


def _window_rgb8(image: np.ndarray, window: Box) -> np.ndarray:
    part = image[window[1] : window[3], window[0] : window[2]]
    if image.dtype == np.float32:
        low, high = float(part.min()), float(part.max())
        # Resampling overshoots a little; a normalised image leaves the range by far.
        if not (low >= -0.05 and high <= 1.05):
            raise ValueError(
                f"image is float32 with values in [{low:.3g}, {high:.3g}]; give values in [0, 1], and place the "
                f"transform before any normalisation"
            )
    return blend.to_rgb8(part)
