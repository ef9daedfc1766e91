"""The epoch number that the main process sets and every worker reads, persistent workers included."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from multiprocessing import context, reduction
from typing import Any

# The number, and whether somebody has set it.
_LAYOUT = "qq"


class SharedEpoch:
    """An integer in shared memory that leaves nothing behind.

    The memory is a file without a name: forked workers inherit it, spawned ones receive its descriptor, and the
    kernel frees it with the last process, however that ends. A copy made in the same process shares the number; a
    plain pickle (to disk, to another machine) carries its current value.

    Args:
        value: The epoch to begin with.
        told: Whether somebody has said that it is this one.
    """

    def __init__(self, value: int = 0, told: bool = False) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(struct.pack(_LAYOUT, value, told))
            file.flush()
            self._attach(os.dup(file.fileno()))

    def _attach(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, struct.calcsize(_LAYOUT))

    @property
    def value(self) -> int:
        """The current epoch."""
        return int(struct.unpack_from(_LAYOUT, self._memory)[0])

    @value.setter
    def value(self, epoch: int) -> None:
        struct.pack_into(_LAYOUT, self._memory, 0, epoch, True)

    @property
    def told(self) -> bool:
        """Whether it was ever set."""
        return bool(struct.unpack_from(_LAYOUT, self._memory)[1])

    def __del__(self) -> None:
        if hasattr(self, "_memory"):
            self._memory.close()
            os.close(self._descriptor)

    def __copy__(self) -> SharedEpoch:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedEpoch:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if context.get_spawning_popen() is None:
            return SharedEpoch, (self.value, self.told)
        return _from_descriptor, (reduction.DupFd(self._descriptor),)


def _from_descriptor(handle: Any) -> SharedEpoch:
    epoch = SharedEpoch.__new__(SharedEpoch)
    epoch._attach(handle.detach())
    return epoch
