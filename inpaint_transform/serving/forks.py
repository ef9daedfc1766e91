"""What a fork must not copy: locks would be held for ever in the child, connections belong to the parent."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

Owner = TypeVar("Owner")

_resets: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def call_after_fork(owner: Owner, reset: Callable[[Owner], None]) -> None:
    """Call ``reset(owner)`` in every forked child, before anything else runs there.

    Args:
        owner: Held weakly.
        reset: Must not refer to ``owner`` by itself, or it lives for ever.
    """
    _resets[owner] = reset


# Held while descriptors are open that a forked child must not get; a fork in another thread waits for it.
no_fork = threading.Lock()

_forked = False


def is_forked() -> bool:
    """Whether this process is a fork, by whatever library, of one that had this package loaded."""
    return _forked


def _reset_all() -> None:
    global _forked
    _forked = True
    no_fork.release()
    for owner, reset in list(_resets.items()):
        reset(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_reset_all)
