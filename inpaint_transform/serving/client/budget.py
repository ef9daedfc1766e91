"""How often a client may lose its server: a few times at once, and again after success or time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable

from inpaint_transform.core.errors import InpaintError

# A server that is lost or hangs this often in a row will do so again.
MAX_FAILURES = 4
# So many answers, or so many seconds, make good for one failure.
ANSWERS = 100
SECONDS = 300.0


class Budget:
    """What is left of a client's patience with its server. Thread-safe.

    Without it every image of a job whose server cannot work would wait for a start or a time-out in vain; with one that
    is never refilled, a long job would end painting for good after a few unrelated losses.

    Args:
        clock: The function that tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(MAX_FAILURES)
        self._then = clock()
        self._failures = 0
        self._last = ""
        self._counted: dict[Hashable, float] = {}

    def fail(self, server: Hashable, how: str, begun: float = -math.inf) -> None:
        """Count a failure, once for all threads that suffer from it.

        Args:
            server: The server that failed.
            how: What happened, for the user.
            begun: The time at which the attempt began that has failed now. By default a server counts once.
        """
        with self._lock:
            if server in self._counted and self._counted[server] > begun:
                return
            self._refill(0.0)
            if self._left >= MAX_FAILURES:
                self._failures = 0
            self._counted[server] = self._clock()
            self._left = max(self._left - 1, 0.0)
            self._failures += 1
            self._last = how

    def succeed(self) -> None:
        """Count an answer."""
        with self._lock:
            self._refill(1 / ANSWERS)

    def check(self) -> None:
        """Raise where there is no patience left.

        Raises:
            InpaintError: The server failed too often; says how the last time, and when it is tried again.
        """
        with self._lock:
            self._refill(0.0)
            if self._left < 1:
                raise InpaintError(
                    f"the inpainting server was lost {self._failures} times and is tried again in"
                    f" {math.ceil(SECONDS * (1 - self._left))} s. The last time: {self._last}"
                )

    def _refill(self, more: float) -> None:
        now = self._clock()
        self._left = min(self._left + more + (now - self._then) / SECONDS, float(MAX_FAILURES))
        self._then = now
