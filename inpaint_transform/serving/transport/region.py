"""Memory that a client and its server share: pixels are written and read there instead of travelling in frames.

A sealed memfd, handed over by its descriptor. It has no name that could be left behind, it goes with the last process
that has it, and it cannot shrink under the server's hands.
"""

from __future__ import annotations

import mmap
import os
import sys

import numpy as np

if sys.platform != "win32":
    import fcntl

# Sizes are powers of two from here on, so that a client whose requests vary does not need a new one for each.
_LEAST_BYTES = 1 << 20


class RegionError(Exception):
    """A descriptor that is no region."""


def create(least: int) -> tuple[int, np.ndarray] | None:
    """Make a region.

    Args:
        least: How many bytes it must hold.

    Returns:
        Its descriptor, which the caller closes once it is handed over, and its bytes as a uint8 array ``(n,)``; None
        where the system has or gives no such memory.
    """
    if not hasattr(os, "memfd_create"):
        return None
    size = max(_LEAST_BYTES, 1 << (least - 1).bit_length())
    try:
        descriptor = os.memfd_create("inpaint_transform", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return None
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return descriptor, _map(descriptor, size)
    except OSError:
        os.close(descriptor)
        return None


def accept(descriptor: int, most: int) -> np.ndarray:
    """The bytes of a region that somebody else has made.

    Args:
        descriptor: Closed here, whatever comes of it.
        most: How many bytes it may have.

    Returns:
        uint8 array ``(n,)``; what is written there is seen on both sides.

    Raises:
        RegionError: It is no memory, it could shrink, or it is too large.
    """
    try:
        # Of anything but a memfd there are no seals to get.
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise RegionError("a region that could shrink")
        size = os.fstat(descriptor).st_size
        if not 0 < size <= most:
            raise RegionError(f"a region of {size} bytes")
        return _map(descriptor, size)
    except OSError as error:
        raise RegionError(f"no region: {error}") from error
    finally:
        os.close(descriptor)


def _map(descriptor: int, size: int) -> np.ndarray:
    # The mapping lives as long as any array that views it.
    return np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
