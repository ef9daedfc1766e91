"""Who is at the other end of a socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from inpaint_transform.serving.transport.credentials import peer_user


def test_both_ends_know_each_other(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
        server, _ = listener.accept()
        with server:
            assert peer_user(client) == peer_user(server) == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_client_knows_who_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        os.seteuid(12345)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        client.connect(str(tmp_path / "s"))
        assert peer_user(client) == 12345


def test_where_the_system_does_not_tell_the_directory_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    with socket.socket(socket.AF_UNIX) as sock:
        assert peer_user(sock) == os.getuid()
