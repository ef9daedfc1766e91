"""How a model is served: addresses, and the device of a rank."""

from __future__ import annotations

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.service import rank_device


@pytest.mark.parametrize(("rank", "count", "index"), [(None, 2, 0), ("1", 4, 1), ("5", 4, 1), ("3", 1, 0), ("2", 0, 0)])
def test_a_rank_has_a_device_also_where_it_sees_one_only(rank: str | None, count: int, index: int) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("LOCAL_RANK", raising=False)
        if rank is not None:
            environment.setenv("LOCAL_RANK", rank)
        assert rank_device(count) == index


def test_a_rank_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ValueError, match="LOCAL_RANK='first'"):
        rank_device(1)


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "10.0.0.7:6379", "[::1]:6379", "a-b.c_d:1"])
def test_addresses_of_a_cluster(address):
    assert ModelSpec("sd15", serving="ray", address=address).resolved().address == address


@pytest.mark.parametrize(
    "address", ["ray://head:10001", "head", "head:", ":6379", "head:0", "head:70000", "/tmp/x", "a b:1"]
)
def test_what_is_no_address_of_a_cluster(address):
    with pytest.raises(ValueError, match=r"address=.*host:port"):
        ModelSpec("sd15", serving="ray", address=address)


@pytest.mark.parametrize("address", ["gpu1:8000", "10.0.0.7:80", "http://gpu1/x", "tcp://gpu1:1", "localhost:8000"])
def test_a_server_on_another_machine_cannot_be_reached(address: str) -> None:
    with pytest.raises(ValueError, match=f"address='{address}': .*on its own machine only.*serving='ray'"):
        ModelSpec("tiny", address=address)


@pytest.mark.parametrize("address", ["/run/user/1/inpaint-x", "servers/a", "C:\\servers\\a", "servers:old/1"])
def test_folders_are_addresses(address: str) -> None:
    assert ModelSpec("tiny", address=address).address == address
