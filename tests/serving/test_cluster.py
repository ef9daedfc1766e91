"""Joining a cluster: tokens, warnings, and errors that name the mend. What needs a cluster is in test_ray_faults."""

import logging
import os
import socket
import sys
import types

import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.ray import cluster


@pytest.fixture
def no_tokens(monkeypatch, tmp_path):
    """Nothing said about tokens, and an empty home."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Set and taken away again by the fixture, whatever the test does.
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    return tmp_path


def test_tokens_are_used_where_there_is_one(no_tokens, monkeypatch):
    cluster.use_tokens()
    assert "RAY_AUTH_MODE" not in os.environ
    (no_tokens / ".ray").mkdir()
    (no_tokens / ".ray" / "auth_token").write_text("secret")
    cluster.use_tokens()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_mode_that_the_user_set_stays(no_tokens, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    cluster.use_tokens()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize(
    ("tokens", "hosts", "warns"),
    [
        (False, ["127.0.0.1", "10.0.0.7"], True),
        (True, ["127.0.0.1", "10.0.0.7"], False),
        (False, ["127.0.0.1", "::1"], False),
        (False, ["node7"], True),
    ],
)
def test_a_cluster_that_anyone_reaches_is_warned_of(tokens, hosts, warns, monkeypatch, caplog):
    listed = [{"Alive": True, "NodeManagerAddress": host} for host in hosts]
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(nodes=lambda: listed))
    with caplog.at_level(logging.WARNING):
        cluster.warn_if_open(tokens)
    assert ("RAY_AUTH_MODE=token" in caplog.text) == warns


def test_without_ray_the_extra_is_named(no_tokens, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InpaintError, match=r"pip install 'inpaint-transform\[ray\]'"):
        cluster.join("auto")


def test_an_address_where_nothing_listens(no_tokens, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InpaintError, match=f"address='{address}'.*ray start --head"):
        cluster.join(address)


def test_something_else_than_a_cluster_does_not_hang(no_tokens, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stand_in = types.SimpleNamespace(
            is_initialized=lambda: False, init=lambda **_: listener.accept() and listener.accept()
        )
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        monkeypatch.setattr(cluster, "JOIN_S", 0.3)
        with pytest.raises(InpaintError, match="accepts connections.*ray status"):
            cluster.join(f"127.0.0.1:{listener.getsockname()[1]}")
        # The thread that still tries ends with the connections that it waits for.
        for _ in range(2):
            socket.create_connection(listener.getsockname()).close()


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (RuntimeError("Version mismatch: The cluster was started with: Ray: 2.52"), "same versions of Ray and Python"),
        (RuntimeError("InvalidAuthToken: Authentication token is missing"), "auth_token"),
        (ConnectionError("Could not find any running Ray instance"), "ray start --head"),
        (ConnectionError("Failed to connect to Ray cluster at 10.0.0.3:6379"), "auth_token"),
        (RuntimeError("This node has an IP address of 10.0.0.3"), "ray start --address"),
        (SystemExit(15), "ray start --address"),
    ],
)
def test_what_ray_says_is_told_with_the_mend(error, mend, no_tokens, monkeypatch):
    def init(**_: object) -> None:
        raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(InpaintError, match=mend):
        cluster.join("auto")
