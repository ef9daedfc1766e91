"""Jobs: one edit each, on its way from the window through the model and the gate to pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inpaint_transform.core import blend, crops, masks, references, seeds
from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.detail import match_detail
from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.feather import feather_alpha
from inpaint_transform.core.labels import noun
from inpaint_transform.core.looks import Kept, Looks
from inpaint_transform.core.measure import mean_change
from inpaint_transform.core.protocol import Candidate, Inpainter, InpaintRequest, InpaintResult, Judge, Question
from inpaint_transform.core.recipe import Recipe

# How many other classes a gate is told of: a question to CLIP has room for 256 texts.
MAX_NOUNS = 200
# In grey levels: a mean change below it is no repainting.
MIN_CHANGE = 1.0


@dataclass(eq=False)
class Job:
    """One edit on its way through the attempts.

    Attributes:
        recipe: The settings.
        edit: The edit; it lies in the image.
        image: ``(H, W)`` or ``(H, W, C)``; never written to.
        key: What a pool calls the look; empty without one.
        looks: The pool, or None.
        reuse: See ``Outcome``.
    """

    recipe: Recipe
    edit: Edit
    image: np.ndarray
    key: bytes = b""
    looks: Looks | None = None
    reuse: str | None = None
    accepted: bool = False
    reason: str | None = None
    seed: int = 0
    attempts: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    milliseconds: float = 0.0
    painted: np.ndarray | None = None
    answer: tuple[float, ...] | None = None
    alpha: np.ndarray | None = None
    _request: InpaintRequest | None = None

    # What is found in a pool needs neither.
    @functools.cached_property
    def original(self) -> np.ndarray:
        """The window's pixels: ``(h, w, 3)`` uint8."""
        return _window_rgb8(self.image, self.edit.window)

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """What is painted of the window: ``(h, w)`` bool."""
        return self.edit.mask(self.recipe.shape)

    def begin(self, attempt: int) -> None:
        """Another attempt."""
        self.seed, self.attempts = seeds.retry_seed(self.edit.seed, attempt), attempt + 1

    def request(self, attempt: int, size: int, gate: Judge | None) -> InpaintRequest:
        """What to ask the model for in this attempt."""
        if self._request is None:
            self._request = make_request(self.recipe, self.edit, self.original, self.mask, 0, size, gate)
        self.begin(attempt)
        return dataclasses.replace(self._request, seed=self.seed)

    def take(self, result: InpaintResult) -> None:
        """What the model has painted; accepted unless a gate minds."""
        self.accepted, self.reason, self.scores = result.image is not None, result.rejected, {}
        self.painted, self.answer = None, result.answer
        if result.image is None:
            return
        self.painted = crops.uncrop(result.image, self.edit.window)
        if self.recipe.match_border:
            self.painted = blend.match_border(self.painted, self.original, self.mask)
            self.painted = match_detail(self.painted, self.original, self.mask, self.seed)
        if self.alpha is None:
            blend_width = self.recipe.feather * min(sides(self.edit.box))
            self.alpha = feather_alpha(self.mask, blend_width, self.edit.window, *self.image.shape[:2])
        if mean_change(self.painted, self.original, self.mask) < MIN_CHANGE:
            self.accepted, self.reason = False, "unchanged"

    def after(self) -> np.ndarray | None:
        """The window as it would be: ``(h, w, 3)`` uint8."""
        if self.painted is None or self.alpha is None:
            return self._after_hit()
        window = self.original.copy()
        blend.blend_into(window, self.painted, (0, 0, *sides(self.edit.window)), self.alpha)
        return window

    def _after_hit(self) -> np.ndarray | None:
        """The window with what a pool has of it; read once more, for hardly anybody asks."""
        if self.looks is None or self.reuse != "hit":
            return None
        x0, y0, x1, y1 = self.edit.window
        with self.looks.reading() as view:
            kept = view.find(self.key)
            if kept is None or kept.pixels is None:
                return None
            window = self.image[y0:y1, x0:x1].copy()
            x, y, right, bottom = kept.box
            blend.put(window[y:bottom, x:right], kept.pixels)
        return blend.to_rgb8(window)

    def taken(self, kept: Kept) -> None:
        """What a pool has of the edit."""
        self.reuse = "hit"
        self.accepted, self.reason, self.scores = kept.accepted, kept.reason, dict(kept.scores)
        self.seed = kept.seed

    def blended(self) -> tuple[Box, np.ndarray]:
        """The bounding rectangle of the mask in the window, and what is put there: a part in the image's dtype."""
        if self.painted is None or self.alpha is None:
            raise RuntimeError("a job without a picture is to be blended")
        x, y = self.edit.window[:2]
        left, top, right, bottom = box = masks.bounds(self.mask)
        part = self.image[y + top : y + bottom, x + left : x + right].copy()
        if part.ndim == 3:
            part = part[:, :, : 3 if part.shape[2] >= 3 else 1]
        blend.blend_into(part, self.painted, (-left, -top, 0, 0), self.alpha)
        return box, part

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
            self.before(),
            self.after,
            self.reuse,
        )

    def before(self) -> np.ndarray:
        """The window's pixels, not copied where they are 8-bit RGB as they stand."""
        x0, y0, x1, y1 = self.edit.window
        window = self.image[y0:y1, x0:x1]
        plain = self.image.dtype == np.uint8 and self.image.ndim == 3 and self.image.shape[2] == 3
        return window if self.reuse is not None and plain else self.original


def make_request(
    recipe: Recipe, edit: Edit, original: np.ndarray, mask: np.ndarray, seed: int, size: int, gate: Judge | None
) -> InpaintRequest:
    """What to ask the model for.

    Args:
        recipe: The settings.
        edit: What to paint.
        original: The window's pixels, ``(h, w, 3)`` uint8.
        mask: What is painted of them, ``(h, w)`` bool.
        seed: Seed of the noise.
        size: Side of the working crop in pixels.
        gate: Who will judge, and may want to ask something.
    """
    question = None
    if gate is not None and (texts := gate.texts(*_nouns(recipe, edit, gate))) is not None:
        question = Question(crops.scaled_box(edit.box, edit.window, size), texts, gate.clip)
    return InpaintRequest(
        crops.crop(original, (0, 0, *sides(edit.window)), size),
        crops.crop_mask(mask, size),
        edit.prompt,
        edit.negative_prompt,
        edit.strength,
        seed,
        question,
        None if edit.reference is None else references.find(recipe.reference, edit.reference),
    )


def paint_jobs(jobs: Sequence[Job], inpainter: Inpainter, gate: Judge | None) -> None:
    """Paint jobs, those that are rejected again with the next seed; all of a round share one call."""
    most = max((job.recipe.retries for job in jobs), default=-1)
    for attempt in range(most + 1):
        pending = [job for job in jobs if not job.accepted]
        if not pending:
            break
        # Whoever asks first loads the model and starts its server, which is no edit's time.
        size = inpainter.size
        start = time.perf_counter()
        requests = [job.request(attempt, size, gate) for job in pending]
        settle(pending, inpainter.paint(requests), gate)
        elapsed = (time.perf_counter() - start) * 1e3
        for job in pending:
            job.milliseconds += elapsed


def settle(jobs: Sequence[Job], results: Sequence[InpaintResult], gate: Judge | None) -> None:
    """Take what was painted for jobs, and let the gate judge it."""
    for job, result in zip(jobs, results, strict=True):
        job.take(result)
    if gate is not None:
        judge(gate, [job for job in jobs if job.accepted])


def agree(found: Sequence[Sequence[Job | None]]) -> None:
    """Take an edit back everywhere where it was not accepted in all of a sample's images.

    Args:
        found: The jobs of each image; those of one edit stand in the same place.
    """
    for jobs in zip(*found, strict=True):
        if all(job is not None and job.accepted for job in jobs):
            continue
        cold = any(job is not None and job.reuse == "cold" for job in jobs)
        for job in jobs:
            if job is not None and job.accepted:
                job.accepted, job.reason = False, "cold" if cold else "rejected in another image"
                job.reuse = "cold" if cold else job.reuse


def judge(gate: Judge, jobs: Sequence[Job]) -> None:
    """Let a gate judge what was painted, all of it in one call."""
    candidates = []
    for job in jobs:
        painted, others = _nouns(job.recipe, job.edit, gate)
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
