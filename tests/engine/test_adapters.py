"""What is known of each pipeline class: that it is so in this diffusers, and that latents go there and back."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch

from inpaint_transform.engine.adapters import ADAPTERS, PLAIN, adapter_for, decode, encode, scale


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_table_says_what_the_class_takes(name: str) -> None:
    adapter = ADAPTERS[name]
    taken = inspect.signature(getattr(diffusers, name).__call__).parameters
    assert adapter.guidance in taken
    assert {argument for argument in adapter.embeddings if argument is not None} <= set(taken)
    if adapter.embeddings:
        assert hasattr(getattr(diffusers, name), "encode_prompt")


def test_a_class_that_nobody_wrote_down_gets_pixels_and_prompts() -> None:
    assert adapter_for(object()) is PLAIN
    assert PLAIN.latent_channels is None
    assert not PLAIN.embeddings


class Vae(torch.nn.Module):
    """Latents are the pixels; encoding in half precision overflows where its config says so."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.config: Any = type("Config", (dict,), {"__getattr__": dict.__getitem__})(scaling_factor=0.5, **config)
        self.encoded_in: list[torch.dtype] = []

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    def encode(self, pixels: torch.Tensor) -> Any:
        self.encoded_in.append(pixels.dtype)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels * 2))

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        return (latents / 2,)


@pytest.mark.parametrize("config", [{}, {"shift_factor": None}, {"shift_factor": 0.3}])
def test_latents_go_there_and_back(config: dict[str, Any]) -> None:
    vae = Vae(**config)
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    back = decode(vae, scale(vae, encode(vae, pixels, upcast=False)))
    torch.testing.assert_close(back, pixels / 2 + 0.5)


@pytest.mark.parametrize(
    ("upcast", "overflows", "precision"),
    [(True, True, torch.float32), (True, False, torch.float16), (False, True, torch.float16)],
)
def test_a_vae_that_overflows_encodes_in_full_precision_and_is_left_as_it_was(
    upcast: bool, overflows: bool, precision: torch.dtype
) -> None:
    vae = Vae(force_upcast=overflows).half()
    assert encode(vae, torch.zeros(1, 3, 4, 4), upcast).dtype == torch.float16
    assert vae.encoded_in == [precision]
    assert vae.dtype == torch.float16
