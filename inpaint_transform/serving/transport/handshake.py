"""The handshake: both sides show that they know the secret, without saying it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import struct

_PEERCRED = struct.Struct("3i")  # pid, uid, gid


def nonce() -> str:
    """A random number for one connection, as hex."""
    return secrets.token_hex(16)


def proof(secret: bytes, side: str, server_nonce: str, client_nonce: str) -> str:
    """What only a side that knows the secret can say.

    Args:
        secret: The server's secret.
        side: Who speaks, so that one side's proof is no use to the other.
        server_nonce: Chosen by the server.
        client_nonce: Chosen by the client.
    """
    return hmac.new(secret, f"{side}:{server_nonce}:{client_nonce}".encode(), hashlib.sha256).hexdigest()


def proves(said: object, expected: str) -> bool:
    """Whether a proof is right, in a time that tells nothing about it."""
    return isinstance(said, str) and hmac.compare_digest(said.encode("utf-8", "replace"), expected.encode())


def same_user(sock: socket.socket) -> bool:
    """Whether the peer runs as this user; True where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return bool(uid == os.getuid())
