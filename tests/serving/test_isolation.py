"""What the caller's torch is set to has no part in what an engine in its process paints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.isolation import foreign_dtype, isolated
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.placement import resolve_serving
from inpaint_transform.serving.registry import connect

SPEC = ModelSpec("tiny", steps=1, device="cpu", serving="local")


def request(size: int) -> InpaintRequest:
    mask = np.zeros((size, size), bool)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = True
    return InpaintRequest(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8), mask, "a cone", seed=1)


@pytest.fixture
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    inpainter = LocalInpainter(SPEC)
    [result] = inpainter.paint([request(inpainter.size)])
    assert result.image is not None
    return result.image


CALLERS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "another default device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
}


@pytest.mark.parametrize("first", [False, True], ids=["while it paints", "while it loads"])
@pytest.mark.parametrize("caller", CALLERS)
def test_the_callers_settings_change_no_pixel(plain: np.ndarray, caller: str, first: bool) -> None:
    inpainter = LocalInpainter(SPEC)
    if not first:
        assert inpainter.size
    with CALLERS[caller]():
        [inside] = inpainter.paint([request(inpainter.size)])
    [outside] = inpainter.paint([request(inpainter.size)])
    assert np.array_equal(inside.image, plain)
    assert np.array_equal(outside.image, plain)


def test_the_callers_settings_are_there_again_afterwards() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), torch.device("meta"):
        with isolated():
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_inference_mode_enabled()
            assert torch.zeros(1).device.type == "cpu"
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_inference_mode_enabled()
        assert torch.zeros(1).device.type == "meta"


def test_another_default_dtype_is_an_error_that_names_the_mend_and_no_failed_load(doubles: None) -> None:
    inpainter = LocalInpainter(SPEC)
    for _ in range(5):
        with pytest.raises(InpaintError, match=r"float64 in this process.*serving='shared'"):
            inpainter.paint([request(64)])
    torch.set_default_dtype(torch.float32)
    assert inpainter.size


def test_auto_goes_to_the_server_where_the_default_dtype_is_another(doubles: None) -> None:
    auto = ModelSpec("tiny", device="cpu")
    assert foreign_dtype() is torch.float64
    assert resolve_serving(auto) == "shared"
    assert not isinstance(connect(auto), LocalInpainter)
    torch.set_default_dtype(torch.float32)
    assert foreign_dtype() is None
    assert resolve_serving(auto) == "local"
