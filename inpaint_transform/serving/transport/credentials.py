"""Who is at the other end of a Unix socket, as the kernel says.

This and the directory, which its owner alone may enter, are all that keeps strangers out. A secret that both sides know
would add nothing: whoever may read the directory knows it too.
"""

from __future__ import annotations

import os
import socket
import struct

_PEERCRED = struct.Struct("3i")  # pid, uid, gid


def peer_user(sock: socket.socket) -> int:
    """User id of the process that has connected, or that listens; this user's own where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    _, user, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return user
