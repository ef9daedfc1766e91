"""Precision: half the bits only where a device has them by itself."""

from __future__ import annotations

import pytest
import torch

from inpaint_transform.fit import precision


@pytest.mark.parametrize("native", [True, False, None])
def test_a_cpu_computes_in_bfloat16_only_if_it_can(monkeypatch: pytest.MonkeyPatch, native: bool | None) -> None:
    if native is None:
        monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    dtype = torch.bfloat16 if native else torch.float32
    device, matrix = torch.device("cpu"), torch.eye(4)
    assert precision.fast_dtype(device) == dtype
    with precision.autocast(device):
        assert (matrix @ matrix).dtype == dtype


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_a_card_that_only_emulates_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert precision.fast_dtype(torch.device("cuda", 0)) == dtype
