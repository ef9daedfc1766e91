"""The denoiser against a critic, after which it paints in a few steps.

Trained to take noise away, a denoiser gives the mean of all that may be there: few steps leave objects soft, and bent
where it cannot know which way they lie. Here it paints from noise in one go and has to convince a critic that its whole
object is a real one, as in adversarial distillation (Sauer et al., 2311.17042; against real pictures alone, without a
teacher: Lin et al., 2501.08316). The critic sees with the features of a network that knows pictures in general and is
not trained (Sauer et al., 2111.01007): one that is trained from nothing on a small set learns the set by heart, and not
what objects look like.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.fit.architecture import FEW_STEPS, few_steps
from inpaint_transform.fit.autoencoder import hinge, reconstruction_loss
from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.denoise import Latents, Predict, Schedule, take
from inpaint_transform.fit.hyperparameters import Plan
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import Progress, Stateful, Training, write_whole

# A frozen network: ``(B, 3, H, W)`` float in [-1, 1] to feature maps ``(B, C, h, w)``, fine to coarse.
Features = Callable[[torch.Tensor], Sequence[torch.Tensor]]

RATE = 1e-4
CRITIC_RATE = 3e-4
# How often each step is trained: the first decides what is where.
SHARES = (0.5, 0.25, 0.15, 0.1)
# What noise leaves of a latent has to stay, the more the less noise there is.
KEPT_LEAST = 0.02
# Channels that features are mixed into, coarse to fine, and those of the critic's own layers.
MIXED = (256, 128, 64)
WIDTH = 128
# What is drawn of latents to be looked at: sketches at half the size, for a decoder costs more than all else.
SKETCH_STEPS, SKETCH_RATE, SKETCH_BATCH, SKETCHED = 1500, 2e-3, 16, 2400
# What the critic sees: how many pixels wide; how large and where that is, over the hole's longer side; in which light.
SEEN = 96
REACH, MOVED = (1.1, 1.5), (-0.1, 0.1)
LIGHT, SATURATION, CONTRAST = (-0.4, 0.4), (0.6, 1.4), (0.75, 1.25)


def train(
    pipeline: Any,
    predict: Predict,
    latents: Latents,
    captions: Captions,
    features: Features,
    plan: Plan,
    path: Path,
) -> Iterator[Progress]:
    """Train a denoiser so that it paints in ``FEW_STEPS`` steps, without guidance; when the iterator ends, it does.

    Args:
        pipeline: A small inpainting pipeline on its device, its autoencoder frozen.
        predict: Its denoiser.
        latents: The examples.
        captions: What is said of each class.
        features: A frozen network on that device.
        plan: Steps, batch, seed and the like.
        path: The checkpoint.
    """
    device = pipeline.vae.device
    pipeline.scheduler = few_steps(pipeline.scheduler)
    pipeline.scheduler.set_timesteps(FEW_STEPS)
    schedule, levels = Schedule(pipeline.scheduler), pipeline.scheduler.timesteps.long().cpu()
    batch, seed = plan.batch, plan.seed
    sketch = _sketch(pipeline.vae, latents, seed, path.with_name("sketch.pt"))
    names = sorted({*latents.labels}, key=str)
    with seeded(seed):
        critic = Critic(features, len(names), device).to(device)
    answers = torch.optim.Adam(critic.heads.parameters(), CRITIC_RATE, betas=(0.0, 0.99))
    beside: dict[str, Stateful] = {"critic": critic, "answers": answers}
    pipeline.text_encoder.requires_grad_(False)
    parameters = {f"unet.{name}": value for name, value in pipeline.unet.named_parameters()}
    training = Training(path, parameters, RATE, 0.998, _optimizer, beside)

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rng = random.Random(f"{seed}-adversary-{step}")  # noqa: S311 - captions, not cryptography
        chosen = torch.randint(len(latents.labels), (batch,), generator=generator)
        rows = take(latents, chosen, device)
        clean, hole = rows.clean.float(), rows.hole.float()
        times = levels[torch.multinomial(torch.tensor(SHARES), batch, replacement=True, generator=generator)]
        noise = torch.randn(clean.shape, generator=generator).to(device)
        left = schedule.alphas[times][:, None, None, None].to(device)
        noisy = left.sqrt() * clean + (1 - left).sqrt() * noise
        said = [captions.draw(label, rng) for label in rows.labels]
        output = predict(torch.cat([noisy, hole, rows.masked.float()], dim=1), times.to(device), said).float()
        painted = schedule.clean(noisy, output, left)
        codes = torch.tensor([names.index(label) for label in rows.labels], device=device)
        look = _look(hole, generator)
        # As in use: what is not in the hole is given.
        whole = torch.where(hole > 0, painted, clean)
        with autocast(device):
            seen = critic.see(look(sketch(whole)))
            with torch.no_grad():
                real = critic.see(look(sketch(clean)))
            answers.zero_grad(set_to_none=True)
            _hinge(critic(real, codes), critic([level.detach() for level in seen], codes)).backward()
            answers.step()
            critic.heads.requires_grad_(False)
            unconvincing = -_mean([answer.mean() for answer in critic(seen, codes)])
            critic.heads.requires_grad_(True)
        return unconvincing + ((painted - clean) ** 2 * (left + KEPT_LEAST)).mean()

    yield from training.run(plan.steps_of_adversary, loss, every=plan.every)
    training.finish()


class Critic(nn.Module):
    """Says at four scales whether an object of its class is real.

    Features are mixed by layers that stay as they are drawn, so that no part of them can be overlooked, and each scale
    gets what the coarser ones show.

    Args:
        features: A frozen network.
        classes: How many classes there are.
        device: Of the network.
    """

    def __init__(self, features: Features, classes: int, device: torch.device) -> None:
        super().__init__()
        with torch.no_grad():
            shapes = [found.shape for found in features(torch.zeros((1, 3, SEEN, SEEN), device=device))]
        # Not a part of it: frozen, and no matter of its checkpoints.
        self._features = (features,)
        widths = [MIXED[min(at, len(MIXED) - 1)] for at in range(len(shapes))][::-1]
        self.mixed = nn.ModuleList(
            nn.Conv2d(shape[1], width, 1, bias=False) for shape, width in zip(shapes, widths, strict=True)
        )
        self.handed_on = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, 1, 1, bias=False) for fine, coarse in pairwise(widths)
        )
        for layer in (*self.mixed, *self.handed_on):
            nn.init.kaiming_normal_(layer.weight, a=1.0)
        self.mixed.requires_grad_(False)
        self.handed_on.requires_grad_(False)
        coarsest = shapes[-1][-1]
        self.heads = nn.ModuleList(
            _Head(width, (shape[-1] // coarsest).bit_length() - 1, classes)
            for shape, width in zip(shapes, widths, strict=True)
        )

    def see(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """``(B, 3, SEEN, SEEN)`` float in [-1, 1] to mixed features ``(B, C, h, w)``, fine to coarse."""
        levels = [mix(found) for mix, found in zip(self.mixed, self._features[0](pixels), strict=True)]
        for at in reversed(range(len(self.handed_on))):
            coarser = self.handed_on[at](levels[at + 1])
            levels[at] = levels[at] + functional.interpolate(coarser, size=levels[at].shape[-2:])
        return levels

    def forward(self, levels: Sequence[torch.Tensor], classes: torch.Tensor) -> list[torch.Tensor]:
        """What ``see`` gave, and ``(B,)`` int, to answers ``(B, h, w)``, one a scale; high for real."""
        return [head(level, classes).float() for head, level in zip(self.heads, levels, strict=True)]


class _Head(nn.Module):
    """Answers at one scale, with a word of its own for each class (projection: Miyato and Koyama, 1802.05637)."""

    def __init__(self, channels: int, halvings: int, classes: int) -> None:
        super().__init__()
        layers = [
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            *(nn.Conv2d(WIDTH, WIDTH, 4, 2, 1) for _ in range(halvings)),
        ]
        self.layers = nn.Sequential()
        for layer in layers:
            self.layers.extend([nn.utils.parametrizations.spectral_norm(layer), nn.LeakyReLU(0.2)])
        self.answer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(WIDTH, 1, 3, padding=1))
        self.classes = nn.Embedding(classes, WIDTH)
        nn.init.zeros_(self.classes.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Features and classes to answers ``(B, h, w)``."""
        found = self.layers(features)
        answer: torch.Tensor = self.answer(found)[:, 0] + (found * self.classes(classes)[:, :, None, None]).mean(dim=1)
        return answer


def _hinge(real: Sequence[torch.Tensor], unreal: Sequence[torch.Tensor]) -> torch.Tensor:
    return _mean([hinge(one, other) for one, other in zip(real, unreal, strict=True)])


def _mean(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(parts)).mean()


def _optimizer(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, rate, betas=(0.0, 0.99), weight_decay=0.0)


def _look(hole: torch.Tensor, generator: torch.Generator) -> Callable[[torch.Tensor], torch.Tensor]:
    """How the critic looks at a batch: at the hole and a bit around it, each time a little differently.

    It is the same for the real picture and the painted one of a row. Without changes a critic soon knows all real
    pictures of a small set by heart (Zhao et al., 2006.10738).

    Args:
        hole: ``(B, 1, h, w)`` float, where it is 1.
        generator: Source of the changes.
    """
    count, _, height, width = hole.shape

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1), generator=generator)

    light, saturation, contrast = (between(*ends).to(hole) for ends in (LIGHT, SATURATION, CONTRAST))
    mirrored = torch.where(between(0, 1) < 0.5, -1.0, 1.0).flatten()
    reach, right, down = (between(*ends).flatten() for ends in (REACH, MOVED, MOVED))
    places = torch.zeros((count, 2, 3))
    for row, cells in enumerate(hole[:, 0].cpu() > 0):
        rows, columns = torch.nonzero(cells, as_tuple=True)
        top, bottom = float(rows.min()) / height, float(rows.max() + 1) / height
        left, end = float(columns.min()) / width, float(columns.max() + 1) / width
        side = max(bottom - top, end - left) * float(reach[row])
        x, y = left + end - 1 + float(right[row]) * side, top + bottom - 1 + float(down[row]) * side
        places[row] = torch.tensor([[float(mirrored[row]) * side, 0, x], [0, side, y]])
    grid = functional.affine_grid(places, [count, 3, SEEN, SEEN], align_corners=False).to(hole)

    def look(pictures: torch.Tensor) -> torch.Tensor:
        found = functional.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)
        grey = found.mean(dim=1, keepdim=True)
        found = grey + (found - grey) * saturation
        mean = found.mean(dim=(1, 2, 3), keepdim=True)
        return mean + (found - mean) * contrast + light

    return look


def _sketch(vae: Any, latents: Latents, seed: int, path: Path) -> nn.Module:
    """A small network that draws ``(B, C, h, w)`` latents as ``(B, 3, H/2, W/2)`` pixels; trained once and kept."""
    with seeded(seed):
        sketch = _new_sketch(vae).to(vae.device)
    if path.exists():
        sketch.load_state_dict(torch.load(path, weights_only=True))
    else:
        _teach(sketch, vae, latents, seed)
        write_whole(sketch.state_dict(), path)
    return sketch.requires_grad_(False)


def _new_sketch(vae: Any) -> nn.Sequential:
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
    chosen = torch.randperm(len(latents.labels), generator=generator)[:SKETCHED]
    given, wanted = latents.clean[chosen].float(), []
    with torch.no_grad(), autocast(vae.device):
        for some in given.split(SKETCH_BATCH):
            pixels = vae.decode(some.to(vae.device) / vae.config.scaling_factor).sample.float()
            wanted.append(functional.avg_pool2d(pixels, 2).cpu())
    targets = torch.cat(wanted)
    optimizer = torch.optim.AdamW(sketch.parameters(), SKETCH_RATE)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, SKETCH_RATE, SKETCH_STEPS)
    for _ in range(SKETCH_STEPS):
        rows = torch.randint(len(given), (SKETCH_BATCH,), generator=generator)
        with autocast(vae.device):
            drawn = sketch(given[rows].to(vae.device)).float()
        optimizer.zero_grad(set_to_none=True)
        reconstruction_loss(drawn, targets[rows].to(drawn)).backward()
        optimizer.step()
        falling.step()
