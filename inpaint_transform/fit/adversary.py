"""The denoiser against a critic, after which it paints in a few steps.

Trained to take noise away, a denoiser gives the mean of all that may be there: few steps leave objects soft, and bent
where it cannot know which way they lie. Here it learns to guess whole objects: from noise alone, where of several
guesses the nearest learns what is really there (``guesses``), and from what it guessed before. Each, and guesses from
any noise too, has to convince a critic that its object is a real one, as in adversarial distillation (Sauer et al.,
2311.17042; against real pictures alone, without a teacher: Lin et al., 2501.08316).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from inpaint_transform.fit import sketch as sketches
from inpaint_transform.fit.architecture import FEW_STEPS, few_steps
from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.critic import Critic, Features, hinges, look_at, mean_of
from inpaint_transform.fit.denoise import Latents, Predict, Schedule, take
from inpaint_transform.fit.guesses import nearest_noise
from inpaint_transform.fit.hyperparameters import Plan
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import Progress, Stateful, Training

RATE = 1e-4
CRITIC_RATE = 3e-4
# Steps before the critic comes: until then guesses become different ones.
ALONE = 500
# The shares of a batch that are guessed from noise alone, which decides what is where: from the noise whose guess is
# the nearest, and from any, so that no noise is left whose guess convinces nobody. The rest is later steps.
NEAR, ANY = 0.25, 0.25
# How many of the later steps begin with what the denoiser itself has guessed, as they do in use.
OWN = 0.5
# What each error counts beside the critic. In the hole: of the nearest guess, and of what little noise leaves of a real
# object, by how much that is and at least a little. Outside of it: everywhere, and beside its edge, where what is
# painted has to go on without a seam.
NEAREST, KEPT_LEAST = 0.8, 0.02
OUTSIDE, EDGE = 0.3, 3.0


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
    painter = _Painter(predict, pipeline.scheduler)
    batch, seed = plan.batch, plan.seed
    sketch = sketches.learn(pipeline.vae, latents, seed, path.with_name("sketch.pt"))
    names = sorted({*latents.labels}, key=str)
    with seeded(seed):
        critic = Critic(features, len(names), device).to(device)
    answers = torch.optim.Adam(critic.heads.parameters(), CRITIC_RATE, betas=(0.0, 0.99))
    beside: dict[str, Stateful] = {"critic": critic, "answers": answers}
    pipeline.text_encoder.requires_grad_(False)
    parameters = {f"unet.{name}": value for name, value in pipeline.unet.named_parameters()}
    # A long average: what such a game changes within a thousand steps, it soon changes back.
    training = Training(path, parameters, RATE, optimizer=_optimizer, beside=beside)

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rng = random.Random(f"{seed}-adversary-{step}")  # noqa: S311 - captions, not cryptography
        chosen = torch.randint(len(latents.labels), (batch,), generator=generator)
        rows = take(latents, chosen, device)
        clean, hole = rows.clean.float(), rows.hole.float()
        said = [captions.draw(label, rng) for label in rows.labels]
        painted, kept = painter.paint(rows, said, generator)
        around = functional.max_pool2d(hole, 3, 1, 1) - hole
        weight = hole * kept + (1 - hole) * OUTSIDE + around * EDGE
        near = ((painted - clean) ** 2 * weight).mean()
        if step < ALONE:
            return near
        codes = torch.tensor([names.index(label) for label in rows.labels], device=device)
        look = look_at(hole, generator)
        # As in use: what is not in the hole is given.
        whole = torch.where(hole > 0, painted, clean)
        with autocast(device):
            seen = critic.see(look(sketch(whole)))
            with torch.no_grad():
                real = critic.see(look(sketch(clean)))
            answers.zero_grad(set_to_none=True)
            hinges(critic(real, codes), critic([level.detach() for level in seen], codes)).backward()
            answers.step()
            critic.heads.requires_grad_(False)
            unconvincing = -mean_of([answer.mean() for answer in critic(seen, codes)])
            critic.heads.requires_grad_(True)
        return unconvincing + near

    yield from training.run(plan.steps_of_adversary, loss, every=plan.every)
    training.finish()


class _Painter:
    """A denoiser at the steps that it is to paint in.

    Args:
        predict: The denoiser.
        scheduler: Its scheduler, with its steps set.
    """

    def __init__(self, predict: Predict, scheduler: Any) -> None:
        self._predict, self._schedule = predict, Schedule(scheduler)
        self._times = scheduler.timesteps.long().cpu()

    def paint(
        self, rows: Latents, captions: list[str], generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one step for each of some examples: the first one for those in front, a later one for the others.

        Args:
            rows: The examples, on the device.
            captions: One an example.
            generator: Source of noise and steps, on the CPU.

        Returns:
            What they are taken for, ``(B, C, h, w)``, and what its error in the hole counts, ``(B, 1, 1, 1)``.
        """
        clean = rows.clean.float()
        count, near = len(clean), math.ceil(NEAR * len(clean))
        first = near + round(ANY * count)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        everyone = torch.arange(count)

        def guess(drawn: torch.Tensor) -> torch.Tensor:
            return self._first_guess(drawn, rows, captions, everyone[:near].repeat(len(drawn) // near))

        noise[:near] = nearest_noise(guess, clean[:near], rows.hole[:near].float(), generator)
        times = self._times[torch.randint(1, len(self._times), (count,), generator=generator)]
        times[:first] = self._times[0]
        left = self._schedule.alphas[times][:, None, None, None]
        counts = left + KEPT_LEAST
        # Any noise may give another object than the real one.
        counts[:near], counts[near:first] = NEAREST, 0
        begun = clean
        own = torch.rand(count, generator=generator) < OWN
        own[:first] = False
        if own.any():
            drawn = torch.randn((int(own.sum()), *clean.shape[1:]), generator=generator).to(clean)
            begun = clean.clone()
            with torch.no_grad():
                begun[own.to(clean.device)] = self._first_guess(drawn, rows, captions, everyone[own])
            # Another object than the real one has nothing of that to keep.
            counts[own] = 0
        left = left.to(clean)
        noisy = left.sqrt() * begun + (1 - left).sqrt() * noise
        noisy[:first] = noise[:first]
        return self._clean(noisy, times, rows, captions, everyone), counts.to(clean)

    def _first_guess(
        self, noise: torch.Tensor, rows: Latents, captions: list[str], which: torch.Tensor
    ) -> torch.Tensor:
        return self._clean(noise, self._times[:1].expand(len(noise)), rows, captions, which)

    def _clean(
        self, noisy: torch.Tensor, times: torch.Tensor, rows: Latents, captions: list[str], which: torch.Tensor
    ) -> torch.Tensor:
        """What some latents of the named rows are taken for."""
        device = noisy.device
        at = which.to(device)
        given = torch.cat([noisy, rows.hole[at].float(), rows.masked[at].float()], dim=1)
        output = self._predict(given, times.to(device), [captions[row] for row in which.tolist()]).float()
        left = self._schedule.alphas[times][:, None, None, None].to(device)
        return self._schedule.clean(noisy, output, left)


def _optimizer(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, rate, betas=(0.0, 0.99), weight_decay=0.0)
