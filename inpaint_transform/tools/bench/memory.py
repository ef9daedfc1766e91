"""Host memory of several processes together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def pss_mib(pids: Iterable[int]) -> float | None:
    """Memory of processes in MiB, a page that several share counted once; None where the system does not tell."""
    total = 0
    for pid in set(pids):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total / 1024, 1)
