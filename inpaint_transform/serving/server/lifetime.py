"""How long a server lives: until its owner has gone, it is told to stop, or nobody has asked for long."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from inpaint_transform.serving.processes import Process


class OwnerWatch:
    """Notices the end of a process, however it ends.

    Args:
        owner: The process to watch; None for no process.
    """

    def __init__(self, owner: Process | None) -> None:
        self._owner = owner
        self._gone = False
        self.descriptor: int | None = None
        """Becomes readable when the owner ends; None where only asking ``gone`` tells."""
        if owner is not None:
            try:
                self.descriptor = owner.open_pidfd()
            except ProcessLookupError:
                self._gone = True

    def gone(self) -> bool:
        """Whether the owner has ended."""
        if self._owner is not None and not self._gone:
            self._gone = not self._owner.alive()
        return self._gone

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.close(self.descriptor)


class IdleWatch:
    """Notices that nothing has happened for long.

    Args:
        limit: Seconds, or None for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._last = time.monotonic()

    def touch(self) -> None:
        """Something happened."""
        self._last = time.monotonic()

    def expired(self) -> bool:
        """Whether the limit has passed since."""
        return self._limit is not None and time.monotonic() - self._last > self._limit
