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
_MIN_BYTES = 1 << 20


class SharedMemoryError(Exception):
    """A descriptor that is not such memory."""


def create(min_bytes: int) -> tuple[int, np.ndarray] | None:
    """Make memory that can be shared.

    Args:
        min_bytes: The bytes that it must hold.

    Returns:
        Its descriptor, which the caller closes once it is handed over, and its bytes as a uint8 array ``(n,)``; None
        where the system has or gives no such memory.
    """
    if not hasattr(os, "memfd_create"):
        return None
    size = max(_MIN_BYTES, 1 << (min_bytes - 1).bit_length())
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


def accept(descriptor: int, max_bytes: int) -> np.ndarray:
    """Map memory that somebody else has made.

    Args:
        descriptor: Its descriptor; closed here, whatever comes of it.
        max_bytes: The bytes that it may have.

    Returns:
        uint8 array ``(n,)``; what is written there is seen on both sides.

    Raises:
        SharedMemoryError: It is no memory, it could shrink, or it is too large.
        OSError: It is right, and this process has no room for it.
    """
    try:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError as error:  # anything but a memfd
            raise SharedMemoryError(f"not shared memory: {error}") from error
        if not seals & fcntl.F_SEAL_SHRINK:
            raise SharedMemoryError("shared memory that could shrink")
        if seals & fcntl.F_SEAL_WRITE:
            raise SharedMemoryError("shared memory that cannot be written")
        size = os.fstat(descriptor).st_size
        if not 0 < size <= max_bytes:
            raise SharedMemoryError(f"shared memory of {size} bytes")
        return _map(descriptor, size)
    finally:
        os.close(descriptor)


def _map(descriptor: int, size: int) -> np.ndarray:
    # The mapping lives as long as any array that views it.
    return np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
