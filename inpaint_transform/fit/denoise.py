"""What the denoiser is trained on: cached latents, and the loss under the checkpoint's own prediction type."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.examples import Crops, Example
from inpaint_transform.fit.trainer import write_whole

# Hang et al., 2303.09556.
MIN_SNR_GAMMA = 5.0
# The part of a latent outside the hole is given, not painted: it only has to continue across the edge.
WEIGHT_OUTSIDE = 0.3
# Held-out examples are the same ones each time, with the same noise.
HELD_OUT_COUNT = 128
# An autoencoder at full size and precision takes gigabytes for a megapixel.
_ENCODED_AT_ONCE, _PIXELS_AT_ONCE = 16, 2**20

# (noisy latents with hole and masked latents, timesteps, captions) to the prediction.
Predict = Callable[[torch.Tensor, torch.Tensor, list[str]], torch.Tensor]


@dataclass(frozen=True)
class Latents:
    """Encoded examples.

    Attributes:
        clean: ``(N, C, h, w)`` float16, the crops.
        masked: ``(N, C, h, w)`` float16, the crops with a grey hole.
        hole: ``(N, 1, h, w)`` bool.
        labels: One class name an example; None for background.
    """

    clean: torch.Tensor
    masked: torch.Tensor
    hole: torch.Tensor
    labels: list[str | None]


class Schedule:
    """How much is left of a latent at each timestep, and what the denoiser predicts.

    Args:
        scheduler: The checkpoint's own.

    Raises:
        ValueError: It is one of those that do not go by such a schedule, or predict something else.
    """

    def __init__(self, scheduler: Any) -> None:
        alphas = getattr(scheduler, "alphas_cumprod", None)
        self.prediction = scheduler.config.get("prediction_type", "epsilon")
        if alphas is None or self.prediction not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"a {type(scheduler).__name__} with {self.prediction!r} prediction: only checkpoints that predict "
                f"epsilon, v or the sample under a noise schedule can be fitted"
            )
        self.alphas = torch.as_tensor(alphas).float().clone()

    def loss(self, predict: Predict, rows: Latents, captions: list[str], generator: torch.Generator) -> torch.Tensor:
        """The loss of some examples, weighted so that no noise level outweighs the others.

        Args:
            predict: The denoiser; gets and gives tensors on its own device.
            rows: The examples, on that device.
            captions: One an example.
            generator: Source of timesteps and noise, on the CPU, so that the device does not change them.
        """
        clean, hole = rows.clean.float(), rows.hole.float()
        device = clean.device
        times = torch.randint(len(self.alphas), (len(clean),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        alpha = self.alphas[times][:, None, None, None].to(device)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        output = predict(torch.cat([noisy, hole, rows.masked.float()], dim=1), times.to(device), captions).float()
        snr = (alpha / (1 - alpha)).clamp(min=1e-8)
        weight = snr.clamp(max=MIN_SNR_GAMMA)
        if self.prediction == "epsilon":
            target, weight = noise, weight / snr
        elif self.prediction == "v_prediction":
            # Of the clean latents the noisiest ones show nothing, but there an object's outline is decided: with the
            # paper's weight they count for nothing, and cones come out bent.
            target, weight = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean, (1 + weight) / (1 + snr)
        else:
            target = clean
        error = (output - target) ** 2 * (WEIGHT_OUTSIDE + (1 - WEIGHT_OUTSIDE) * hole) * weight
        return error.mean()

    def clean(self, noisy: torch.Tensor, output: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """What a denoiser takes for the clean latents.

        Args:
            noisy: ``(B, C, h, w)`` latents.
            output: What it predicts of them.
            alpha: How much is left of the clean ones, broadcastable.
        """
        if self.prediction == "epsilon":
            return (noisy - (1 - alpha).sqrt() * output) / alpha.sqrt()
        return alpha.sqrt() * noisy - (1 - alpha).sqrt() * output if self.prediction == "v_prediction" else output


def step_loss(
    schedule: Schedule,
    predict: Predict,
    latents: Latents,
    captions: Captions,
    batch: int,
    seed: int,
    device: torch.device,
) -> Callable[[int], torch.Tensor]:
    """The loss by the step's number, which with the seed decides on examples, captions, timesteps and noise."""

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rng = random.Random(f"{seed}-{step}")  # noqa: S311 - captions, not cryptography
        chosen = torch.randint(len(latents.labels), (batch,), generator=generator)
        said = [captions.draw(latents.labels[row], rng) for row in chosen.tolist()]
        return schedule.loss(predict, take(latents, chosen, device), said, generator)

    return loss


def held_out_loss(
    schedule: Schedule, predict: Predict, latents: Latents, captions: Captions, batch: int, device: torch.device
) -> Callable[[], float]:
    """The loss on all held-out examples, each time under the same noise."""

    @torch.no_grad()
    def loss() -> float:
        generator, rng = torch.Generator().manual_seed(0), random.Random(0)  # noqa: S311 - captions
        total = 0.0
        for start in range(0, len(latents.labels), batch):
            chosen = torch.arange(start, min(start + batch, len(latents.labels)))
            said = [captions.draw(latents.labels[row], rng) for row in chosen.tolist()]
            part = schedule.loss(predict, take(latents, chosen, device), said, generator)
            total += float(part) * len(chosen)
        return total / len(latents.labels)

    return loss


def take(latents: Latents, chosen: torch.Tensor, device: torch.device) -> Latents:
    """Some of the examples, on the device."""
    return Latents(
        latents.clean[chosen].to(device),
        latents.masked[chosen].to(device),
        latents.hole[chosen].to(device),
        [latents.labels[row] for row in chosen.tolist()],
    )


@torch.no_grad()
def cache_latents(vae: Any, crops: Crops, count: int, seed: int, path: Path, progress: bool) -> Latents:
    """Draw examples and encode them, once: the next call finds them on disk.

    Args:
        vae: The autoencoder, on its device.
        crops: Where examples are drawn from.
        count: How many.
        seed: Decides which.
        path: Where they are kept.
        progress: Whether to show a progress bar.
    """
    if path.exists():
        kept = torch.load(path, weights_only=True)
        return Latents(kept["clean"], kept["masked"], kept["hole"], kept["labels"])
    side, channels = crops.size // crops.cell, vae.config.latent_channels
    clean = torch.zeros((count, channels, side, side), dtype=torch.float16)
    masked, hole = torch.zeros_like(clean), torch.zeros((count, 1, side, side), dtype=torch.bool)
    labels: list[str | None] = [None] * count
    waiting: list[tuple[int, Example]] = []
    at_once = min(_ENCODED_AT_ONCE, max(1, _PIXELS_AT_ONCE // crops.size**2))

    def encode() -> None:
        numbers = torch.tensor([number for number, _ in waiting])
        pixels = to_pixels(np.stack([example.image for _, example in waiting]))
        holes = torch.from_numpy(np.stack([example.hole for _, example in waiting]))[:, None]
        clean[numbers] = encoded(vae, pixels)
        masked[numbers] = encoded(vae, torch.where(holes, 0.0, pixels))
        hole[numbers] = holes[:, :, :: crops.cell, :: crops.cell]
        for number, example in waiting:
            labels[number] = example.label
        waiting.clear()

    drawn = crops.draw(count, seed, progress)
    for item in tqdm(drawn, "encoding", count, unit="crop", disable=None if progress else True):
        waiting.append(item)
        if len(waiting) == at_once:
            encode()
    if waiting:
        encode()
    write_whole({"clean": clean, "masked": masked, "hole": hole, "labels": labels}, path)
    return Latents(clean, masked, hole, labels)


def encoded(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The latents of ``(B, 3, H, W)`` pixels as the pipeline scales them, float16 on the CPU."""
    latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    return ((latents.float() - shift) * vae.config.scaling_factor).half().cpu()


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """``(B, 3, H, W)`` float in [-1, 1] to ``(B, H, W, 3)`` uint8."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
