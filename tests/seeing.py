"""A frozen network for critics: three scales of random features, which stay as they are."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Seeing(nn.Module):
    """``(B, 3, H, W)`` to three maps of eight channels, each half as large as the one before."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.levels = nn.ModuleList(nn.Conv2d(inner, 8, 3, 2, 1) for inner in (3, 8, 8))
        for value in self.parameters():
            nn.init.normal_(value, std=0.3, generator=generator)
        self.requires_grad_(False)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for level in self.levels:
            pixels = functional.silu(level(pixels))
            found.append(pixels)
        return found
