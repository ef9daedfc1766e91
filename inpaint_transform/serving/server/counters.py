"""What an inpainter did: plain counters and their summary."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from inpaint_transform.core.protocol import InpaintResult


class Counters:
    """Thread-safe counters of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: Counter[int] = Counter()
        self._rejected: Counter[str] = Counter()
        self._errors = 0
        self._waited = 0.0
        self._busy = 0.0
        self._first: float | None = None

    def count_batch(self, results: Iterable[InpaintResult], size: int, waited: float, busy: float) -> None:
        """Count one engine call.

        Args:
            results: Its results; none if it failed.
            size: How many requests it had.
            waited: Seconds that its requests waited for it, summed.
            busy: Seconds that it took.
        """
        with self._lock:
            if self._first is None:
                self._first = time.monotonic() - busy
            self._sizes[size] += 1
            self._waited += waited
            self._busy += busy
            done = 0
            for result in results:
                done += 1
                if result.rejected is not None:
                    self._rejected[result.rejected] += 1
            self._errors += size - done

    def batches(self) -> tuple[int, float]:
        """How many batches there were, and their mean size."""
        with self._lock:
            batches = self._sizes.total()
            return batches, sum(size * n for size, n in self._sizes.items()) / max(batches, 1)

    def snapshot(self) -> dict[str, Any]:
        """The counters as JSON values."""
        batches, mean = self.batches()
        with self._lock:
            requests = sum(size * n for size, n in self._sizes.items())
            elapsed = time.monotonic() - self._first if self._first is not None else 0.0
            return {
                "requests": requests,
                "batches": batches,
                "batch_sizes": {str(size): n for size, n in sorted(self._sizes.items())},
                "mean_batch": round(mean, 3),
                "mean_wait_ms": round(1e3 * self._waited / max(requests, 1), 3),
                "rejected": dict(self._rejected),
                "errors": self._errors,
                "busy_s": round(self._busy, 3),
                "busy_share": round(min(self._busy / elapsed, 1.0), 4) if elapsed else 0.0,
            }
