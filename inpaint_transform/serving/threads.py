"""Threads of an engine on a processor that others use too, as the workers of a DataLoader do.

OpenMP's threads wait for each other by spinning. Where one of them has lost its core to another process, the others
spin through whole time slices for every one of a model's thousands of parallel loops: on two cores with one other
process, even a niced one, a model can take a hundred times as long. Bounded spinning costs nothing on a quiet processor
and helps on a busy one; with one thread nothing waits for anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.user_warning import warn_user
from inpaint_transform.serving.placement import resolve_device

if TYPE_CHECKING:
    from inpaint_transform.serving.engines import PaintingEngine

# Rounds that a thread of GNU's OpenMP waits before it sleeps; with no limit it is some milliseconds. Measured on two
# cores with ``tiny``: as fast as without a limit on a quiet processor, 14 times as fast on a busy one.
SPIN_COUNT = "10000"
# From this many times slower than it was, a call says something about the machine.
SLOW = 5.0
# Calls that are slow in a row before anything is said: one alone may have met a swap or a fork.
SLOW_CALLS = 3
# What warms caches up is no measure.
WARM_UP_CALLS = 2
# Another number of threads must be this much faster to be kept.
GAIN = 0.85
# Between two trials; doubled after each that was in vain.
FIRST_PAUSE_S = 2.0
MAX_PAUSE_S = 240.0

_ours = False


def own_process() -> None:
    """Take this process for the library's own, a server's or a command's: engines in it choose their threads."""
    global _ours
    _ours = True
    bound_spinning(os.environ)


def bound_spinning(environment: MutableMapping[str, str]) -> None:
    """Bound the spinning of OpenMP's threads, unless the user has decided; before torch is loaded.

    Args:
        environment: The environment of the process; written to.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def paced(engine: PaintingEngine, spec: ModelSpec) -> PaintingEngine:
    """An engine that minds a busy processor, around another one where that runs on the CPU.

    Args:
        engine: An engine.
        spec: The model that it runs.
    """
    torch = sys.modules.get("torch")
    if torch is None or resolve_device(spec.device) != "cpu" or torch.get_num_threads() == 1:
        return engine
    if not _ours:
        return _Watched(engine)
    # Who has set the number has decided, and another number of threads adds up in another order.
    if spec.reproducible or "OMP_NUM_THREADS" in os.environ:
        return engine
    return _Tuned(engine, ThreadChoice(torch.get_num_threads()))


class ThreadChoice:
    """Finds the number of threads with which calls take least, and again when the machine has changed.

    Tries half as many and twice as many from time to time, one call long.

    Args:
        limit: The largest number.

    Attributes:
        current: The number that was best.
    """

    def __init__(self, limit: int) -> None:
        self.current = limit
        self._limit = limit
        self._calls = 0
        self._cost: float | None = None
        self._trial: int | None = None
        self._down = True
        self._due = 0.0
        self._pause = FIRST_PAUSE_S

    def threads(self, now: float) -> int:
        """How many threads the next call is to have.

        Args:
            now: The time in seconds.
        """
        if self._cost is not None and now >= self._due:
            lower, higher = max(self.current // 2, 1), min(self.current * 2, self._limit)
            first, second = (lower, higher) if self._down else (higher, lower)
            self._trial = first if first != self.current else second
            self._down = not self._down
        return self._trial or self.current

    def took(self, cost: float, now: float) -> None:
        """Take note of a call.

        Args:
            cost: Seconds that it took for a unit of work.
            now: The time in seconds.
        """
        self._calls += 1
        if self._calls <= WARM_UP_CALLS:
            return
        if self._trial is None:
            if self._cost is not None and cost > SLOW * self._cost:
                self._down, self._due, self._pause = True, now, FIRST_PAUSE_S
            self._cost = cost
            return
        if cost < GAIN * (self._cost or cost):
            self._down = self._trial < self.current  # on in the same direction
            self.current, self._cost = self._trial, cost
            self._pause = FIRST_PAUSE_S
            self._due = now
        else:
            self._due = now + self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE_S)
        self._trial = None


class Slowdown:
    """Notices when calls take many times longer than the first ones did, while the processor works."""

    def __init__(self) -> None:
        self._calls = 0
        self._slow = 0
        self._best = float("inf")

    def took(self, cost: float) -> float | None:
        """Take note of a call.

        Args:
            cost: Seconds that it took for a unit of work.

        Returns:
            How many times slower than at first, once; None otherwise.
        """
        self._calls += 1
        if self._calls <= WARM_UP_CALLS + SLOW_CALLS:
            self._best = min(self._best, cost)
            return None
        self._slow = self._slow + 1 if cost > SLOW * self._best else 0
        if self._slow != SLOW_CALLS:
            return None
        times = cost / self._best
        self._best = float("inf")
        return times


class _Engine:
    """An engine around another one."""

    def __init__(self, engine: PaintingEngine) -> None:
        self._engine = engine
        self.size = engine.size

    def close(self) -> None:
        """Free the model."""
        self._engine.close()


class _Tuned(_Engine):
    """Chooses its threads."""

    def __init__(self, engine: PaintingEngine, choice: ThreadChoice) -> None:
        super().__init__(engine)
        self._choice = choice

    def paint(self, requests: Sequence[InpaintRequest]) -> Sequence[InpaintResult | Exception]:
        """Paint every request."""
        import torch

        begun = time.monotonic()
        threads = self._choice.threads(begun)
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        results = self._engine.paint(requests)
        now = time.monotonic()
        self._choice.took((now - begun) / _work(requests), now)
        return results


class _Watched(_Engine):
    """Says once when the processor has become too busy; the threads are the user's."""

    def __init__(self, engine: PaintingEngine) -> None:
        super().__init__(engine)
        self._slowdown = Slowdown()

    def paint(self, requests: Sequence[InpaintRequest]) -> Sequence[InpaintResult | Exception]:
        """Paint every request."""
        begun, used = time.monotonic(), time.process_time()
        results = self._engine.paint(requests)
        took, used = time.monotonic() - begun, time.process_time() - used
        # What sleeps, waits for something else than a core.
        times = self._slowdown.took(took / _work(requests)) if used > took / 4 else None
        if times is not None:
            warn_user(
                f"painting takes {times:.0f} times as long as at first: other processes keep the processor busy, and"
                " the threads of this one wait for each other. Call torch.set_num_threads(1), or set OMP_NUM_THREADS=1"
                f" or GOMP_SPINCOUNT={SPIN_COUNT} before Python starts, or use serving='shared', which minds it itself"
            )
        return results


def _work(requests: Sequence[InpaintRequest]) -> float:
    """How much there is to do, in calls at full strength; encoding and decoding cost some steps at any strength."""
    return sum(0.25 + request.strength for request in requests) or 1.0
