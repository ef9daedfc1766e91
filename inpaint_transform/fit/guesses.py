"""Guesses from noise alone: of several, only the nearest to what is really there learns.

An object may stand in its hole in many ways, and noise says nothing of which. A denoiser that is to come near the real
one from any noise gives the mean of all ways, a blurred shape that is always the same. Where only the nearest of some
guesses learns, every noise gets a way of its own, and no way is left without one (implicit maximum likelihood
estimation: Li and Malik, 1809.09087).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

# How many guesses are made of each example.
GUESSES = 8

# Noise ``(B, C, h, w)`` to what a denoiser takes for the clean latents, ``(B, C, h, w)``.
Guess = Callable[[torch.Tensor], torch.Tensor]


@torch.no_grad()
def nearest_noise(guess: Guess, clean: torch.Tensor, hole: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Of several draws of noise, for each example the one whose guess comes nearest to its real latents.

    Args:
        guess: Makes guesses of the examples from noise; gets ``GUESSES`` times as many rows, the first draw of all
            examples in their order, then the second.
        clean: ``(B, C, h, w)`` float, the real latents.
        hole: ``(B, 1, h, w)`` float, 1 where they are painted.
        generator: Source of the noise, on the CPU.

    Returns:
        Noise ``(B, C, h, w)``.
    """
    count = len(clean)
    noise = torch.randn((GUESSES * count, *clean.shape[1:]), generator=generator).to(clean)
    error = ((guess(noise) - clean.repeat(GUESSES, 1, 1, 1)) ** 2 * hole.repeat(GUESSES, 1, 1, 1)).mean(dim=(1, 2, 3))
    best = error.view(GUESSES, count).argmin(dim=0)
    return noise[best * count + torch.arange(count, device=best.device)]
