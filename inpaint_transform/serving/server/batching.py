"""Batch formation: which requests go to the device together, and when. Pure: it is told the time and does no I/O.

While the device is busy the queue fills; when it is free, everything that fits goes. It waits for a fuller batch only
while some live client has nothing in flight, and never longer than ``max_wait``. A blocking client asks again only
after its answer, so once every live client is waiting nothing more can come and waiting would be pure loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A client that has neither asked nor been answered for this many seconds has gone quiet (its loader's queue is full,
# its epoch is over): nobody waits for it. Some tens of batches of the fastest presets.
LIVE_S = 1.0


@dataclass(frozen=True)
class _Entry(Generic[Item]):
    item: Item
    key: Hashable
    client: Hashable
    arrived: float


class Batcher(Generic[Item]):
    """A queue of requests in front of one device.

    Args:
        max_batch_size: Most items in one batch.
        max_wait: Longest wait for a fuller batch in seconds, from when the device is free and a request is there.
    """

    def __init__(self, max_batch_size: int, max_wait: float) -> None:
        self._max = max_batch_size
        self._max_wait = max_wait
        self._queue: list[_Entry[Item]] = []
        self._running: list[list[_Entry[Item]]] = []
        self._free_since = float("-inf")
        self._in_flight: Counter[Hashable] = Counter()
        self._heard: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """How many items are queued."""
        return len(self._queue)

    def add(self, item: Item, key: Hashable, client: Hashable, now: float) -> None:
        """Queue an item; only items with equal ``key`` share a batch."""
        self._queue.append(_Entry(item, key, client, now))
        self._in_flight[client] += 1
        self._heard[client] = now

    def take(self, now: float, slots: int = 1) -> list[tuple[Item, float]]:
        """The batch that is to run now, as items and the seconds they waited; empty if there is none yet.

        A non-empty answer occupies a slot until ``finish``.

        Args:
            now: The time.
            slots: How many batches run at once; one on a device, several where several painters wait for them.
        """
        if len(self._running) >= slots or not self._queue:
            return []
        batch = [entry for entry in self._queue if entry.key == self._queue[0].key][: self._max]
        if len(batch) < self._max and now < self._deadline() and self._may_come(now):
            return []
        taken = set(map(id, batch))
        self._queue = [entry for entry in self._queue if id(entry) not in taken]
        self._running.append(batch)
        return [(entry.item, now - entry.arrived) for entry in batch]

    def wake_at(self, now: float, slots: int = 1) -> float | None:
        """When ``take`` is to be asked again although nothing has happened; None for never."""
        return max(self._deadline(), now) if self._queue and len(self._running) < slots else None

    def finish(self, now: float, taken: list[tuple[Item, float]] | None = None) -> None:
        """A batch is done and its clients are being answered: its slot is free.

        Args:
            now: The time.
            taken: What ``take`` gave; by default the batch that has run longest.
        """
        for entry in self._end(taken):
            self._settle(entry, now)
        self._free_since = now

    def put_back(self, now: float) -> None:
        """The only running batch was broken off: its items are the first to go next, and the device is free."""
        self._queue = [*self._end(None), *self._queue]
        self._free_since = now

    def _end(self, taken: list[tuple[Item, float]] | None) -> list[_Entry[Item]]:
        """Take a batch from those that run."""
        for index, batch in enumerate(self._running):
            if taken is None or batch[0].item is taken[0][0]:
                return self._running.pop(index)
        return []

    def drop(self, matches: Callable[[Item], bool], now: float) -> None:
        """Forget queued items whose client has gone; those that already run, run on."""
        gone = [entry for entry in self._queue if matches(entry.item)]
        self._queue = [entry for entry in self._queue if not matches(entry.item)]
        for entry in gone:
            self._settle(entry, now)

    def forget(self, client: Hashable) -> None:
        """A client's last connection is closed: nobody waits for it."""
        self._heard.pop(client, None)

    def _settle(self, entry: _Entry[Item], now: float) -> None:
        self._in_flight[entry.client] -= 1
        if not self._in_flight[entry.client]:
            del self._in_flight[entry.client]
        if entry.client in self._heard:
            self._heard[entry.client] = now

    def _deadline(self) -> float:
        # From when the device became free, not from the arrival: a request that came while the device was busy
        # would otherwise leave without the clients that are just being answered, and two half batches would
        # alternate for ever.
        return max(self._queue[0].arrived, self._free_since) + self._max_wait

    def _may_come(self, now: float) -> bool:
        """Whether a live client has nothing in flight, so that it may still join."""
        return any(now - heard < LIVE_S and not self._in_flight[client] for client, heard in self._heard.items())
