"""The autoencoder of a small model: trained on crops, its latents normalised."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional
from tqdm import tqdm

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.fit.bases import quiet
from inpaint_transform.fit.denoise import to_images, to_pixels
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.trainer import Progress, Training
from inpaint_transform.fit.turning import turned

# Of one that begins with random weights or a new level, and of one that is trained further.
RATE, FURTHER_RATE = 1e-3, 5e-4
DIVERGENCE_WEIGHT = 1e-4
# Of how much a latent may vary, beside the latent itself, where both are learnt from a teacher.
LOGVAR_WEIGHT = 0.01
# What it counts that a latent is another one than the teacher's, where pictures have the teacher's size: little, so
# that latents may say more than they did, and enough that a denoiser soon knows them again.
MOVED_WEIGHT = 0.03
# What the pixels in the hole count beside those of the whole crop: objects are what is painted.
HOLE_WEIGHT = 2.0
# One example in eight is shown with its hole, as the pipeline will show it both.
HOLED = 8
PATIENCE = 10


class Pixels:
    """Crops drawn once and kept on disk, so that training does not read pictures.

    Args:
        crops: Where they are drawn from.
        count: How many.
        seed: Decides which.
        path: An ``.npy`` file.
        progress: Whether to show a progress bar.
    """

    def __init__(self, crops: Crops, count: int, seed: int, path: Path, progress: bool) -> None:
        shape = (count, crops.size, crops.size, 4)
        if not path.exists():
            part = path.with_name(f"{path.name}.part")
            kept = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
            drawn = crops.draw(count, seed, progress)
            for number, example in tqdm(drawn, "cutting", count, unit="crop", disable=None if progress else True):
                kept[number, ..., :3], kept[number, ..., 3] = example.image, example.hole
            kept.flush()
            del kept
            part.replace(path)
        self._path, self.count = path, count

    @classmethod
    def kept(cls, path: Path) -> Pixels:
        """Those that an earlier call has cut."""
        found = cls.__new__(cls)
        found._path, found.count = path, len(np.load(path, mmap_mode="r"))
        return found

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, 3, H, W)`` float in [-1, 1], and the holes ``(B, 1, H, W)`` bool; turned where there is a generator."""
        # Opened anew for each batch, so that what is read does not pile up in memory.
        kept = np.load(self._path, mmap_mode="r")[rows]
        if rng is not None:
            kept = np.stack([turned(crop, rng) for crop in kept])
        return to_pixels(kept[..., :3]), torch.from_numpy(kept[..., 3].astype(bool))[:, None]


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 on pixels and, for sharpness, on their differences at three scales."""
    loss = functional.l1_loss(output, target)
    for _ in range(3):
        for axis in (2, 3):
            loss = loss + 0.7 * functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        output, target = functional.avg_pool2d(output, 2), functional.avg_pool2d(target, 2)
    return loss


def train(
    vae: Any,
    pixels: Pixels,
    held_out: Pixels,
    steps: int,
    batch: int,
    seed: int,
    path: Path,
    teacher: Any | None = None,
) -> Iterator[Progress]:
    """Train an autoencoder; when the iterator ends, its best average is in place.

    Args:
        vae: An ``AutoencoderKL`` on its device.
        pixels: What to train on.
        held_out: What says when to stop.
        steps: At most so many.
        batch: Crops a step.
        seed: Decides on crops and noise.
        path: The checkpoint.
        teacher: An ``AutoencoderKL`` whose latents are to be kept; where it is one of smaller pictures, exactly.
    """
    times = 1 if teacher is None else _cell(vae) // _cell(teacher)
    rate = FURTHER_RATE if teacher is not None and times == 1 else RATE
    training = Training(path, dict(vae.named_parameters()), rate, decay=0.999)

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, step))
        target, holes = pixels.batch(rng.integers(pixels.count, size=batch), rng)
        blank = holes & torch.from_numpy(rng.random((batch, 1, 1, 1)) < 1 / HOLED)
        target, inside = torch.where(blank, 0.0, target).to(vae.device), holes.to(vae.device, torch.float32)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        with autocast(vae.device):
            posterior = vae.encode(target).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            if teacher is None:
                astray = DIVERGENCE_WEIGHT * 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
            else:
                wanted = _latents_of(teacher, target, times)
                moved = functional.mse_loss(mean, wanted.mean)
                astray = (MOVED_WEIGHT if times == 1 else 1) * moved
                astray = astray + LOGVAR_WEIGHT * functional.mse_loss(logvar, wanted.logvar)
                if times > 1:
                    # What the decoder gets now is what it will get, however far the encoder is.
                    mean, logvar = wanted.mean, wanted.logvar
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            output = vae.decode(mean + noise * torch.exp(0.5 * logvar)).sample.float()
        of_objects = reconstruction_loss(output * inside, target * inside)
        return reconstruction_loss(output, target) + HOLE_WEIGHT * of_objects + astray

    yield from training.run(steps, loss, _held_out_loss(vae, held_out, batch), patience=PATIENCE)
    training.finish()


def _cell(vae: Any) -> int:
    return int(2 ** (len(vae.config.block_out_channels) - 1))


@torch.no_grad()
def _latents_of(teacher: Any, target: torch.Tensor, times: int) -> Any:
    """How a teacher encodes pictures that are so many times larger than those it knows."""
    return teacher.encode(functional.avg_pool2d(target, times)).latent_dist


def _held_out_loss(vae: Any, pixels: Pixels, batch: int) -> Callable[[], float]:
    @torch.no_grad()
    def loss() -> float:
        total = 0.0
        for start in range(0, pixels.count, batch):
            rows = np.arange(start, min(start + batch, pixels.count))
            target = pixels.batch(rows)[0].to(vae.device)
            with autocast(vae.device):
                output = vae.decode(vae.encode(target).latent_dist.mode()).sample.float()
            total += float(reconstruction_loss(output, target)) * len(rows)
        return total / pixels.count

    return loss


@torch.no_grad()
def round_trip(vae: Any, images: np.ndarray) -> np.ndarray:
    """``(B, H, W, 3)`` uint8 pictures as the autoencoder gives them back."""
    latents = vae.encode(to_pixels(images).to(vae.device, vae.dtype)).latent_dist.mode()
    return to_images(vae.decode(latents).sample)


def load_round_trip(spec: ModelSpec) -> Callable[[np.ndarray], np.ndarray]:
    """What the autoencoder of a model makes of ``(B, H, W, 3)`` uint8 pictures, on the CPU."""
    resolved = spec.resolved()
    with quiet():
        vae = AutoencoderKL.from_pretrained(resolved.id, subfolder="vae", revision=resolved.revision).eval()
    return functools.partial(round_trip, vae)


def psnr(images: np.ndarray, others: np.ndarray) -> float:
    """Peak signal to noise in dB between uint8 pictures; infinite where they are equal."""
    error = float(np.mean((images.astype(np.float64) - others) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@torch.no_grad()
def normalise(vae: Any, pixels: Pixels) -> None:
    """Fold a shift and scale a channel into the autoencoder: latents get zero mean and unit variance.

    A denoiser learns such latents best, and pipelines know only one ``scaling_factor`` for all channels.
    """
    rows = np.linspace(0, pixels.count - 1, min(512, pixels.count)).astype(int)
    found = [vae.encode(pixels.batch(part)[0].to(vae.device)).latent_dist.mode() for part in np.array_split(rows, 32)]
    latents = torch.cat(found).float()
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    encode.weight[:channels] /= std[:, None, None, None]
    encode.bias[:channels] = (encode.bias[:channels] - mean) / std
    encode.bias[channels:] -= 2 * std.log()
    decode.bias += (decode.weight[:, :, 0, 0] * mean).sum(dim=1)
    decode.weight *= std[None, :, None, None]
