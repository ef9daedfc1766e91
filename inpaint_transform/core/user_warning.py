"""Warnings that point at the user's line: the nearest one that is neither ours nor the framework's."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

# Between the user's line and ours stand the frameworks that call a transform, and what calls functions for others.
BETWEEN = {
    "inpaint_transform",
    "albumentations",
    "torch",
    "torchvision",
    "concurrent",
    "contextlib",
    "functools",
    "multiprocessing",
    "threading",
}


def warn_user(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Issue a warning where the user's code called in, however many calls lie between.

    ``warnings.warn`` has ``skip_file_prefixes`` for this from Python 3.12 on.

    Args:
        message: What the user should know.
        category: Its kind.
    """
    ours = sys._getframe(1)
    frame: FrameType | None = ours
    while frame is not None and _module(frame).partition(".")[0] in BETWEEN:
        frame = frame.f_back
    # A thread of the library's own has no line of the user's.
    frame = frame or ours
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        _module(frame),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
