"""What crosses between the planner and whoever paints: requests in, results out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inpaint_transform.core.boxes import Box

# Of one question.
MAX_TEXTS = 256


@dataclass(frozen=True)
class Question:
    """Which of some texts fits what was painted into a box; a CLIP model beside the pipeline answers.

    Attributes:
        box: Pixel box in the working crop, not empty. The model sees this part of the painted crop alone.
        texts: The texts that compete, 1 to ``MAX_TEXTS``; the first is the wanted one.
    """

    box: Box
    texts: tuple[str, ...]


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
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    negative_prompt: str = ""
    strength: float = 1.0
    seed: int = 0
    question: Question | None = None


def share_key(request: InpaintRequest, steps: int) -> tuple[int, ...]:
    """What requests must have in common to share one pipeline call: steps run, steps skipped, and the crop's size.

    A pipeline makes whole steps of a strength, some classes by rounding down those to run, others those to skip. So
    most of the strengths of a range share a call, and whoever forms batches goes by this key and by nothing else.

    Args:
        request: The request; its strength is in (0, 1].
        steps: Denoising steps at strength 1.
    """
    run = steps * request.strength
    return int(run), int(steps - run), *request.image.shape


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
