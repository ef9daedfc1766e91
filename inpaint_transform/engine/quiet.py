"""Quiet loading: what diffusers and transformers remark on meanwhile is of no use to whoever trains a detector."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

LIBRARIES = ("diffusers", "transformers")
# Deprecations and doubts of these libraries about each other. Our own warnings are RuntimeWarnings.
REMARKS = (DeprecationWarning, FutureWarning, ImportWarning, UserWarning)

_lock = threading.Lock()
_inside = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it lasts these libraries show no progress bars and log errors only; then all is as the user had set it.

    It may be entered again inside itself, and by several threads at once.
    """
    global _inside, _undo
    with _lock:
        _inside += 1
        if _inside == 1:
            _undo = _hush()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _undo.close()


def _hush() -> contextlib.ExitStack:
    """Set all that is to be quiet; closing what comes back undoes it."""
    undo = contextlib.ExitStack()
    undo.enter_context(warnings.catch_warnings())
    for category in REMARKS:
        warnings.simplefilter("ignore", category)
    import diffusers.utils.logging
    import transformers.utils.logging

    # Not before: at their import they set their loggers up.
    for library in LIBRARIES:
        logger = logging.getLogger(library)
        undo.callback(logger.setLevel, logger.level)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.ERROR))
    for log in (diffusers.utils.logging, transformers.utils.logging):
        if log.is_progress_bar_enabled():
            log.disable_progress_bar()
            undo.callback(log.enable_progress_bar)
    return undo
