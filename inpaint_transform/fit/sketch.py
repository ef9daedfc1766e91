"""Latents drawn at half their size by a small network: to be looked at in training, where a decoder costs too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.fit.autoencoder import reconstruction_loss
from inpaint_transform.fit.denoise import Latents
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import write_whole

STEPS, RATE, BATCH = 1500, 2e-3, 16
# Latents that it learns from.
EXAMPLES = 2400


def learn(vae: Any, latents: Latents, seed: int, path: Path) -> nn.Module:
    """A small network that draws ``(B, C, h, w)`` latents as ``(B, 3, H/2, W/2)`` pixels; trained once and kept."""
    with seeded(seed):
        sketch = _new(vae).to(vae.device)
    if path.exists():
        sketch.load_state_dict(torch.load(path, weights_only=True))
    else:
        _teach(sketch, vae, latents, seed)
        write_whole(sketch.state_dict(), path)
    return sketch.requires_grad_(False)


def _new(vae: Any) -> nn.Sequential:
    doublings = len(vae.config.block_out_channels) - 2
    widths = [max(32, 96 >> at) for at in range(doublings + 1)]
    layers: list[nn.Module] = [nn.Conv2d(vae.config.latent_channels, widths[0], 3, padding=1), nn.SiLU()]
    for at, width in enumerate(widths):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()]
        if at < doublings:
            layers += [nn.Conv2d(width, widths[at + 1], 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))


def _teach(sketch: nn.Module, vae: Any, latents: Latents, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(latents.labels), generator=generator)[:EXAMPLES]
    given, wanted = latents.clean[chosen].float(), []
    with torch.no_grad(), autocast(vae.device):
        for some in given.split(BATCH):
            pixels = vae.decode(some.to(vae.device) / vae.config.scaling_factor).sample.float()
            wanted.append(functional.avg_pool2d(pixels, 2).cpu())
    targets = torch.cat(wanted)
    optimizer = torch.optim.AdamW(sketch.parameters(), RATE)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(given), (BATCH,), generator=generator)
        with autocast(vae.device):
            drawn = sketch(given[rows].to(vae.device)).float()
        optimizer.zero_grad(set_to_none=True)
        reconstruction_loss(drawn, targets[rows].to(drawn)).backward()
        optimizer.step()
        falling.step()
