"""Where a model will run and who will run it."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest
import torch

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving import placement
from inpaint_transform.serving.placement import resolve_device, resolve_serving


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:0", "cuda:7"])
def test_a_device_by_name_is_that_device(device: str) -> None:
    assert resolve_device(device) == device


@pytest.mark.parametrize(
    ("device", "count", "rank", "found"),
    [
        ("auto", 0, "1", "cpu"),
        ("auto", 2, "1", "cuda:1"),
        ("auto", 1, "3", "cuda:0"),
        ("cuda", 4, "6", "cuda:2"),
        ("cuda", 0, "0", "cuda:0"),
    ],
)
def test_a_rank_has_its_device(monkeypatch: pytest.MonkeyPatch, device: str, count: int, rank: str, found: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert resolve_device(device) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"device": "cpu"}, "local"),
        ({"device": "cuda:0"}, "shared"),
        ({"device": "cuda:0", "serving": "local"}, "local"),
        ({"device": "cpu", "serving": "shared"}, "shared"),
        ({"device": "cpu", "address": "/x"}, "shared"),
        ({"serving": "ray", "address": "auto"}, "ray"),
    ],
)
def test_who_runs_it_in_the_users_process(fields: dict[str, str], found: str) -> None:
    assert resolve_serving(ModelSpec("tiny", **fields)) == found


def test_a_worker_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=1))
    assert resolve_serving(ModelSpec("tiny", device="cpu")) == "shared"
    assert resolve_serving(ModelSpec("tiny", device="cpu", serving="local")) == "local"


def test_windows_cannot_share_and_is_not_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is reached through a Unix socket."""
    monkeypatch.setattr(placement, "CAN_SHARE", False)
    monkeypatch.setattr(placement, "foreign_dtype", lambda: torch.float64)
    for parent in (None, SimpleNamespace(pid=1)):
        monkeypatch.setattr(multiprocessing, "parent_process", lambda parent=parent: parent)
        for device in ("cpu", "cuda:0", "mps", "auto"):
            assert resolve_serving(ModelSpec("tiny", device=device)) == "local"
    # Who asks for it by name is told why it does not go.
    assert resolve_serving(ModelSpec("tiny", serving="shared")) == "shared"
    assert resolve_serving(ModelSpec("tiny", serving="ray")) == "ray"


def test_a_mac_takes_its_metal_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert resolve_device("auto") == "mps"
    assert resolve_device("cpu") == "cpu"
    assert resolve_serving(ModelSpec("tiny")) == "local"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == "cuda:0"


def test_a_contradiction_is_named() -> None:
    with pytest.raises(ValueError, match="serving='local' and address='/x'"):
        resolve_serving(ModelSpec("tiny", serving="local", address="/x"))
