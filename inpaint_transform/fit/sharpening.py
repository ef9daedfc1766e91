"""The decoder of a small model against critics that tell real crops from decoded ones (Esser et al., 2012.09841).

A loss on pixels leaves the mean of all that a latent may stand for, which is blurred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.fit.autoencoder import Pixels, reconstruction_loss
from inpaint_transform.fit.critic import Critic, Features, hinges, look_at, mean_of
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import Progress, Stateful, Training

RATE = 2e-4
# Where the pull of the critics on the last layer is brought to, over that of the reconstruction.
CRITIC_SHARE = 0.5
MAX_CRITIC_WEIGHT = 10.0
# Side in pixels of what a painted picture has to keep while it is made sharper.
COARSE = 16
# By how much the critic sees fine detail enlarged.
DETAIL = 10.0


@dataclass(frozen=True, eq=False)
class Painted:
    """What a denoiser has painted, for a decoder to learn from.

    Attributes:
        latents: ``(N, C, h, w)`` float, as the decoder takes them.
        holes: ``(N, 1, h, w)`` float, 1 where they are painted.
        coarse: ``(N, 3, COARSE, COARSE)`` float in [-1, 1], what the decoder made of them before it learnt.
    """

    latents: torch.Tensor
    holes: torch.Tensor
    coarse: torch.Tensor


def sharpen(
    vae: Any,
    pixels: Pixels,
    painted: Painted,
    steps: int,
    batch: int,
    seed: int,
    path: Path,
    features: Features | None = None,
) -> Iterator[Progress]:
    """Train the decoder alone; when the iterator ends, its average is in place.

    Half of the latents are painted ones, which are what a decoder gets in use: nobody knows how they should look, so
    they have to convince the critics, and to keep their colours and coarse shapes. The encoder stays as it is, so
    latents keep their meaning.

    Args:
        vae: An ``AutoencoderKL`` on its device.
        pixels: What to train on.
        painted: What is painted beside it.
        steps: How many in all.
        batch: Crops a step.
        seed: Decides on crops and noise.
        path: The checkpoint.
        features: A frozen network on that device: with it, objects as a whole have to convince a critic too.
    """
    device = vae.device
    with seeded(seed):
        critics = _Critics(features, device).to(device)
    learning = [value for value in critics.parameters() if value.requires_grad]
    answers = torch.optim.Adam(learning, RATE, betas=(0.5, 0.9))
    beside: dict[str, Stateful] = {"critic": critics, "answers": answers}
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    training = Training(path, _of_decoder(vae), RATE, decay=0.999, beside=beside)
    last = vae.decoder.conv_out.weight
    encoded = -(-batch // 2)

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed((seed + 1) * 1_000_003 + step)
        rows = np.random.default_rng((seed + 1, step)).integers(pixels.count, size=batch)
        target, holes = (some.to(device) for some in pixels.batch(rows))
        chosen = torch.randint(len(painted.latents), (batch - encoded,), generator=generator)
        with torch.no_grad(), autocast(device):
            posterior = vae.encode(target[:encoded]).latent_dist
            mean, std = posterior.mean.float(), posterior.std.float()
            latents = mean + std * torch.randn(mean.shape, generator=generator).to(mean.device)
        latents = torch.cat([latents, painted.latents[chosen].to(latents)])
        with autocast(device):
            output = vae.decode(latents).sample.float()
        cells = functional.adaptive_max_pool2d(holes.float(), painted.holes.shape[-2:])
        drawn = torch.cat([cells[:encoded], painted.holes[chosen].to(cells)])
        with autocast(device):
            seen = critics.see(output, drawn, generator)
            with torch.no_grad():
                real = critics.see(target, cells, generator)
            answers.zero_grad(set_to_none=True)
            judged = zip(critics(real), critics([some.detach() for some in seen]), strict=True)
            torch.stack([hinges(*both) for both in judged]).sum().backward()
            answers.step()
            for value in learning:
                value.requires_grad_(False)
            unconvincing = -torch.stack([mean_of([one.mean() for one in some]) for some in critics(seen)]).sum()
            for value in learning:
                value.requires_grad_(True)
        rebuilt = reconstruction_loss(output[:encoded], target[:encoded])
        if len(chosen):
            coarse = functional.interpolate(output[encoded:], size=(COARSE, COARSE), mode="area")
            rebuilt = rebuilt + functional.l1_loss(coarse, painted.coarse[chosen].to(coarse))
        [pull] = torch.autograd.grad(rebuilt, last, retain_graph=True)
        [push] = torch.autograd.grad(unconvincing, last, retain_graph=True)
        weight = CRITIC_SHARE * pull.norm() / (push.norm() + 1e-4)
        return rebuilt + weight.clamp(max=MAX_CRITIC_WEIGHT) * unconvincing

    yield from training.run(steps, loss)
    training.finish()
    vae.requires_grad_(False)


@torch.no_grad()
def coarse_pictures(vae: Any, latents: torch.Tensor, at_once: int = 8) -> torch.Tensor:
    """What a decoder makes of latents, ``(N, 3, COARSE, COARSE)`` float."""
    found = []
    for some in latents.split(at_once):
        with autocast(vae.device):
            output = vae.decode(some.to(vae.device)).sample.float()
        found.append(functional.interpolate(output, size=(COARSE, COARSE), mode="area").cpu())
    return torch.cat(found)


class _Critics(nn.Module):
    """One that sees patches, and one that sees objects as a whole where there is a network that it can see with."""

    def __init__(self, features: Features | None, device: torch.device) -> None:
        super().__init__()
        self.patches = PatchCritic()
        self.objects = None if features is None else Critic(features, 1, device)

    def see(self, pixels: torch.Tensor, holes: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
        """What each of them judges: the picture itself, then mixed features of the objects, fine to coarse."""
        found = [pixels]
        if self.objects is not None:
            found += self.objects.see(look_at(holes, generator)(pixels))
        return found

    def forward(self, seen: list[torch.Tensor]) -> list[list[torch.Tensor]]:
        """The answers of each of them to what ``see`` gave."""
        pixels, *levels = seen
        answers = [[self.patches(pixels).float()]]
        if self.objects is not None:
            answers.append(self.objects(levels, torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)))
        return answers


class PatchCritic(nn.Sequential):
    """Says of each patch of 34 pixels whether it is real; ``(B, 3, H, W)`` to ``(B, 1, H/8 - 1, W/8 - 1)``.

    What blurred pictures lack is small beside what they show, so it is given fine detail apart and enlarged: it then
    tells them from real ones after forty steps, otherwise hardly after hundreds.
    """

    def __init__(self) -> None:
        widths = (6, 32, 64, 96)
        blocks: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            convolution = nn.Conv2d(narrow, wide, 4, 2, 1)
            blocks += [nn.utils.parametrizations.spectral_norm(convolution), nn.LeakyReLU(0.2)]
        super().__init__(*blocks, nn.utils.parametrizations.spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1)))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        coarse = functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
        answers = torch.cat([pixels, DETAIL * (pixels - coarse)], dim=1)
        for block in self:
            answers = block(answers)
        return answers


def _of_decoder(vae: Any) -> dict[str, nn.Parameter]:
    return {name: value for name, value in vae.named_parameters() if name.startswith(("decoder.", "post_quant_conv."))}
