"""Where a model runs: what there is, what this process may use, and what is said otherwise."""

from __future__ import annotations

import os

import pytest
import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.engine.devices import choose_device, choose_dtype


@pytest.fixture
def no_cuda() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")


@pytest.mark.usefixtures("no_cuda")
def test_cuda_where_there_is_none() -> None:
    for device in ("cuda", "cuda:1"):
        with pytest.raises(ValueError, match=f"device='{device}': .*finds no CUDA device here; use device='cpu'"):
            choose_device(device)
    assert choose_device("auto") == torch.device("cpu")


def test_without_cuda_a_metal_device_comes_before_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("mps")
    assert choose_device("cpu") == torch.device("cpu")
    # Half precision is for CUDA.
    assert choose_dtype("auto", torch.device("mps")) == torch.float32


def test_metal_where_there_is_none() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is a Metal device here")
    with pytest.raises(ValueError, match="device='mps': PyTorch finds no Metal device"):
        choose_device("mps")


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_forked_worker_is_told_the_mends(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA no process is ever in that state, so PyTorch's own flag is set by hand."""
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(InpaintError, match=r"forked.*serving='shared'.*spawn.*num_workers=0"):
        choose_device(device)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_really_forked_worker_is_told_the_mends() -> None:
    torch.zeros(1, device="cuda")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            choose_device("auto")
        except InpaintError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert b"serving='shared'" in os.read(reader, 10_000)
    os.close(reader)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_devices_of_a_machine_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    count = torch.cuda.device_count()
    monkeypatch.setenv("LOCAL_RANK", str(count))
    assert choose_device("auto") == torch.device("cuda:0")
    with pytest.raises(ValueError, match=f"device='cuda:{count}': there are {count} CUDA devices"):
        choose_device(f"cuda:{count}")
    assert choose_dtype("auto", torch.device("cuda:0")) == torch.float16


def test_precision_by_device() -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("auto", torch.device("cuda:0")) == torch.float16
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
