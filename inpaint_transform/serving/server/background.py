"""Background painting in front of a device: what nobody waits for runs when nobody waits, and not more than its share.

Pure, like batch formation: it is told the time and does no I/O.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Half a minute of work for eight paintings/s.
MAX_QUEUED = 256
# What is queued holds its pixels: 256 crops of 512 pixels, or 77 of 1024.
MAX_QUEUED_BYTES = 256 << 20
# What a painting counts for before the first one is done, and how much the latest counts then.
FIRST_PACE_S = 0.1
LATEST = 0.5


@dataclass(frozen=True)
class _Wish(Generic[Item]):
    item: Item
    key: Hashable
    size: int


class BackgroundQueue(Generic[Item]):
    """A bounded queue of which the oldest goes first, to the device or, where it is full, away.

    Args:
        max_batch_size: Most items in one batch.
        device_share: Which share of the time the device may spend on it, in (0, 1].
    """

    def __init__(self, max_batch_size: int, device_share: float = 1.0) -> None:
        self._max = max_batch_size
        self._share = device_share
        self._queue: dict[Hashable, _Wish[Item]] = {}
        self._running: dict[float, list[Hashable]] = {}
        self._bytes = 0
        self._not_before = float("-inf")
        self._pace: float | None = None
        self.dropped = 0

    def __len__(self) -> int:
        """How many items are queued."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether one more would push out the oldest."""
        return len(self._queue) >= MAX_QUEUED or self._bytes >= MAX_QUEUED_BYTES

    def add(self, item: Item, key: Hashable, name: Hashable, size: int = 0) -> None:
        """Queue an item, unless one of its name is queued or running.

        Args:
            item: What is to be painted.
            key: Only items with equal ``key`` share a batch.
            name: What tells it from others.
            size: Bytes that it holds.
        """
        if name in self._queue or any(name in batch for batch in self._running.values()):
            return
        if self.full:
            self._pop(next(iter(self._queue)))
            self.dropped += 1
        self._queue[name] = _Wish(item, key, size)
        self._bytes += size

    def _pop(self, name: Hashable) -> Item:
        wish = self._queue.pop(name)
        self._bytes -= wish.size
        return wish.item

    def take(self, now: float, slots: int = 1) -> list[Item]:
        """The batch that is to run now; empty if there is none, or the share is used up.

        Args:
            now: The time; no two batches begin at the same.
            slots: How many batches may run at once.
        """
        if len(self._running) >= slots or not self._queue or now < self._not_before or now in self._running:
            return []
        key = next(iter(self._queue.values())).key
        names = [name for name, wish in self._queue.items() if wish.key == key][: self._max]
        self._running[now] = names
        return [self._pop(name) for name in names]

    def finish(self, began: float, now: float) -> None:
        """A batch is done.

        Args:
            began: When it was taken.
            now: The time.
        """
        names = self._running.pop(began)
        took = (now - began) / self._share
        # So long after its begin that the share is kept.
        self._not_before = max(self._not_before, began + took)
        pace = took / len(names)
        self._pace = pace if self._pace is None else self._pace + LATEST * (pace - self._pace)

    def ahead(self, slots: int = 1) -> float:
        """How many seconds what is queued will keep the device busy, as far as one can tell."""
        return len(self._queue) * (FIRST_PACE_S if self._pace is None else self._pace) / slots

    def wake_at(self, slots: int = 1) -> float | None:
        """When to ask again although nothing has happened; None for never."""
        return self._not_before if self._queue and len(self._running) < slots else None
