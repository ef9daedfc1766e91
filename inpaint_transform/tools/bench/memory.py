"""Host memory of several processes together."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def pss_mib(pids: Iterable[int]) -> float | None:
    """Memory of processes in MiB, a page that several share counted once; None where the system does not tell."""
    try:
        total = sum(psutil.Process(pid).memory_full_info().pss for pid in set(pids))
    except (psutil.Error, AttributeError):  # ended, another user's, or a system without such a number
        return None
    return round(total / 2**20, 1)
