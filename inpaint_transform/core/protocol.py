"""What crosses between the core and whoever paints or judges: requests and results, candidates and verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.labels import Label

# Of one question.
MAX_TEXTS = 256
# Pixels of a reference: what image encoders look at, and as much again for models that see all of it.
REFERENCE_SIDE = 512


@dataclass(frozen=True)
class Question:
    """Which of some texts fits what was painted into a box; a CLIP model beside the pipeline answers.

    Attributes:
        box: Pixel box in the working crop, not empty. The model sees this part of the painted crop alone.
        texts: The texts that compete, 1 to ``MAX_TEXTS``; the first is the wanted one.
        clip: The CLIP model that answers, as for ``ModelSpec(clip=...)``; None for the one that is named there. The
            engine loads it at its first question, so that a gate needs no pipeline of its own.
    """

    box: Box
    texts: tuple[str, ...]
    clip: str | None = None


@dataclass(frozen=True)
class InpaintRequest:
    """One working crop to paint.

    Attributes:
        image: ``(size, size, 3)`` uint8, RGB.
        mask: ``(size, size)`` bool, True where pixels are to be painted.
        prompt: What to paint.
        negative_prompt: What to avoid; empty for nothing.
        strength: How far to leave the old pixels, in (0, 1]; 1 ignores them.
        seed: Seed of the noise, in [0, 2**63).
        question: What to ask about the painted pixels, or None.
        reference: A picture of what to paint, ``(REFERENCE_SIDE, REFERENCE_SIDE, 3)`` uint8, RGB; or None.
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    negative_prompt: str = ""
    strength: float = 1.0
    seed: int = 0
    question: Question | None = None
    reference: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.image.nbytes + self.mask.nbytes + (0 if self.reference is None else self.reference.nbytes)

    def copy(self) -> InpaintRequest:
        """The same with pixels of its own."""
        own = None if self.reference is None else self.reference.copy()
        return dataclasses.replace(self, image=self.image.copy(), mask=self.mask.copy(), reference=own)


def share_key(request: InpaintRequest, steps: int) -> tuple[int, ...]:
    """What requests must have in common to share one pipeline call: steps run and skipped, size, reference or none.

    A pipeline makes whole steps of a strength, some classes by rounding down those to run, others those to skip. So
    most of the strengths of a range share a call, and whoever forms batches goes by this key and by nothing else.

    Args:
        request: The request; its strength is in (0, 1].
        steps: Denoising steps at strength 1.
    """
    run = steps * request.strength
    key = int(run), int(steps - run), *request.image.shape
    return key if request.reference is None else (*key, REFERENCE_SIDE)


@dataclass(frozen=True)
class InpaintResult:
    """The answer to one request.

    Attributes:
        image: ``(size, size, 3)`` uint8, RGB, or None when the output was rejected.
        rejected: Why there is no image (``"not finite"``, ``"near constant"``, ``"flagged by the safety checker"``),
            or None.
        answer: One probability for each text of the request's question, in its order; None without a question or
            without an image.
    """

    image: np.ndarray | None
    rejected: str | None = None
    answer: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Destination:
    """Where what is painted in the background goes: a pool, as every process of this machine finds it.

    Attributes:
        path: The pool's folder, absolute.
        max_bytes: Most bytes of it.
        echo: Uses after which a look is due.
    """

    path: str
    max_bytes: int
    echo: int


class Inpainter(Protocol):
    """Paints working crops. Safe to call from several threads; results come in the order of the requests."""

    @property
    def size(self) -> int:
        """Side of the working crop in pixels that the loaded model wants."""
        ...

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request, batched as the model allows."""
        ...

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """Queue requests for when nobody waits for the device; returns at once.

        Args:
            requests: What to paint.
            names: Under which name each result is put into the pool; one that is queued already is not queued again.
            destination: The pool.

        Returns:
            For how many seconds what is queued will keep the painter busy; there is no sense in asking for much more
            before. Of a queue that is full, what was queued longest is dropped.
        """
        ...

    def stats(self) -> dict[str, Any]:
        """Counters of the engine behind it, as JSON values; empty before there is one."""
        ...

    def close(self) -> None:
        """Free the model, or let go of the server."""
        ...


@dataclass(frozen=True, eq=False)
class Candidate:
    """One painted box to judge.

    Attributes:
        original: ``(h, w, 3)`` uint8, RGB, the context window before painting.
        painted: ``(h, w, 3)`` uint8, RGB, the same window with the painted pixels in place.
        box: The box in the window.
        label: The label that was painted.
        noun: The word for it.
        old_label: The label before.
        other_nouns: The words for what the box could show instead: its old class and the other classes.
        answer: What CLIP said to ``Gate.texts``: one probability a text; None if nobody asked.
    """

    original: np.ndarray
    painted: np.ndarray
    box: Box
    label: Label = None
    noun: str = ""
    old_label: Label = None
    other_nouns: tuple[str, ...] = ()
    answer: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one candidate.

    Attributes:
        score: The gate's own number; more is better.
        accepted: Whether the painted pixels may stay.
        reason: Which gate rejected it, as a sentence for counters; None if accepted.
        scores: The score of every gate that was asked, by its name.
    """

    score: float
    accepted: bool
    reason: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


class Judge(Protocol):
    """Who says whether painted pixels may stay; the gates do."""

    @property
    def clip(self) -> str | None:
        """The CLIP model that answers ``texts``; None if there is nothing to ask."""
        ...

    def texts(self, noun: str, other_nouns: Sequence[str]) -> tuple[str, ...] | None:
        """What to ask CLIP about a box that shows ``noun`` or one of the others, the wanted text first."""
        ...

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """One verdict a candidate, in their order."""
        ...
