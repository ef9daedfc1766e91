"""Precision: half the bits only where a device gains by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inpaint_transform.fit import precision


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """A CPU that was not tried out yet, before a test and after it."""
    precision._cpu_gains.cache_clear()
    yield
    precision._cpu_gains.cache_clear()


@pytest.mark.parametrize(("seconds", "dtype"), [(0.5, torch.bfloat16), (0.9, torch.float32), (2.0, torch.float32)])
def test_a_cpu_computes_in_bfloat16_only_if_it_gains(
    monkeypatch: pytest.MonkeyPatch, seconds: float, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "_seconds", {torch.bfloat16: seconds, torch.float32: 1.0}.__getitem__)
    device, matrix = torch.device("cpu"), torch.eye(4)
    assert precision.fast_dtype(device) == dtype
    with precision.autocast(device):
        assert (matrix @ matrix).dtype == dtype


class Multiplied(TorchDispatchMode):
    """Notes in what matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            self.dtypes.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def test_a_cpu_is_tried_out_once_and_in_both_whatever_the_caller_casts_to() -> None:
    with Multiplied() as multiplied, torch.autocast("cpu", torch.float16):
        first = precision.fast_dtype(torch.device("cpu"))
        assert precision.fast_dtype(torch.device("cpu")) == first
    assert (
        sorted(multiplied.dtypes, key=str) == [torch.bfloat16] * precision.REPEATS + [torch.float32] * precision.REPEATS
    )


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_a_card_that_only_emulates_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert precision.fast_dtype(torch.device("cuda", 0)) == dtype
