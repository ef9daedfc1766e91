"""The autoencoder of a small model: trained on crops, its latents normalised, its decoder sharpened by a critic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.fit.bases import quiet
from inpaint_transform.fit.denoise import to_images, to_pixels
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import Progress, Stateful, Training

RATE = 1e-3
SHARPEN_RATE = 2e-4
DIVERGENCE_WEIGHT = 1e-4
# Of how much a latent may vary, beside the latent itself, where both are learnt from a teacher.
LOGVAR_WEIGHT = 0.01
# One example in eight is shown with its hole, as the pipeline will show it both.
HOLED = 8
PATIENCE = 10
# Where the pull of the critic on the last layer is brought to, over that of the reconstruction.
CRITIC_SHARE = 0.5
MAX_CRITIC_WEIGHT = 10.0
# Side in pixels of what a painted picture has to keep while it is made sharper.
COARSE = 16
# By how much the critic sees fine detail enlarged.
DETAIL = 10.0


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
            drawn = crops.draw(count, seed)
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

    def batch(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, 3, H, W)`` float in [-1, 1], and the holes ``(B, 1, H, W)`` bool."""
        # Opened anew for each batch, so that what is read does not pile up in memory.
        kept = np.load(self._path, mmap_mode="r")[rows]
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
        teacher: An ``AutoencoderKL`` of smaller pictures whose latents are to be kept.
    """
    training = Training(path, dict(vae.named_parameters()), RATE, decay=0.999)
    times = 1 if teacher is None else _cell(vae) // _cell(teacher)

    def loss(step: int) -> torch.Tensor:
        target, rng = _drawn(vae, pixels, batch, seed, step)
        with autocast(vae.device):
            posterior = vae.encode(target).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            if teacher is None:
                astray = DIVERGENCE_WEIGHT * 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
            else:
                # What the decoder gets now is what it will get, however far the encoder is.
                wanted = _latents_of(teacher, target, times)
                astray = functional.mse_loss(mean, wanted.mean) + LOGVAR_WEIGHT * functional.mse_loss(
                    logvar, wanted.logvar
                )
                mean, logvar = wanted.mean, wanted.logvar
            noise = torch.randn(mean.shape, generator=rng).to(mean.device)
            output = vae.decode(mean + noise * torch.exp(0.5 * logvar)).sample.float()
        return reconstruction_loss(output, target) + astray

    yield from training.run(steps, loss, _held_out_loss(vae, held_out, batch), patience=PATIENCE)
    training.finish()


@dataclass(frozen=True, eq=False)
class Painted:
    """What a denoiser has painted, for a decoder to learn from.

    Attributes:
        latents: ``(N, C, h, w)`` float, as the decoder takes them.
        coarse: ``(N, 3, COARSE, COARSE)`` float in [-1, 1], what the decoder made of them before it learnt.
    """

    latents: torch.Tensor
    coarse: torch.Tensor


def sharpen(
    vae: Any, pixels: Pixels, painted: Painted, steps: int, batch: int, seed: int, path: Path
) -> Iterator[Progress]:
    """Train the decoder alone against a critic that tells real crops from decoded ones (Esser et al., 2012.09841).

    A loss on pixels leaves the mean of all that the latent may stand for, which is blurred. Half of the latents are
    painted ones, which are what a decoder gets in use: nobody knows how they should look, so they have to convince the
    critic, and to keep their colours and coarse shapes. The encoder stays as it is, so latents keep their meaning.

    Args:
        vae: An ``AutoencoderKL`` on its device.
        pixels: What to train on.
        painted: What is painted beside it.
        steps: How many in all.
        batch: Crops a step.
        seed: Decides on crops and noise.
        path: The checkpoint.
    """
    with seeded(seed):
        critic = Critic().to(vae.device)
    answers = torch.optim.Adam(critic.parameters(), SHARPEN_RATE, betas=(0.5, 0.9))
    beside: dict[str, Stateful] = {"critic": critic, "answers": answers}
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    training = Training(path, _of_decoder(vae), SHARPEN_RATE, decay=0.999, beside=beside)
    last = vae.decoder.conv_out.weight
    encoded = -(-batch // 2)

    def loss(step: int) -> torch.Tensor:
        target, rng = _drawn(vae, pixels, batch, seed + 1, step)
        chosen = torch.randint(len(painted.latents), (batch - encoded,), generator=rng)
        with torch.no_grad(), autocast(vae.device):
            posterior = vae.encode(target[:encoded]).latent_dist
            mean, std = posterior.mean.float(), posterior.std.float()
            latents = mean + std * torch.randn(mean.shape, generator=rng).to(mean.device)
        latents = torch.cat([latents, painted.latents[chosen].to(latents)])
        with autocast(vae.device):
            output = vae.decode(latents).sample.float()
            real, unreal = critic(target).float(), critic(output.detach()).float()
        answers.zero_grad(set_to_none=True)
        hinge(real, unreal).backward()
        answers.step()
        critic.requires_grad_(False)
        with autocast(vae.device):
            unconvincing = -critic(output).float().mean()
        critic.requires_grad_(True)
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


def hinge(real: torch.Tensor, unreal: torch.Tensor) -> torch.Tensor:
    """The loss of a critic by its answers; high ones mean real."""
    return functional.relu(1 - real).mean() + functional.relu(1 + unreal).mean()


@torch.no_grad()
def coarse_pictures(vae: Any, latents: torch.Tensor, at_once: int = 8) -> torch.Tensor:
    """What a decoder makes of latents, ``(N, 3, COARSE, COARSE)`` float."""
    found = []
    for some in latents.split(at_once):
        with autocast(vae.device):
            output = vae.decode(some.to(vae.device)).sample.float()
        found.append(functional.interpolate(output, size=(COARSE, COARSE), mode="area").cpu())
    return torch.cat(found)


class Critic(nn.Sequential):
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


def _drawn(vae: Any, pixels: Pixels, batch: int, seed: int, step: int) -> tuple[torch.Tensor, torch.Generator]:
    rng = np.random.default_rng((seed, step))
    target, holes = pixels.batch(rng.integers(pixels.count, size=batch))
    holes &= torch.from_numpy(rng.random((batch, 1, 1, 1)) < 1 / HOLED)
    target = torch.where(holes, 0.0, target)
    return target.to(vae.device), torch.Generator().manual_seed(seed * 1_000_003 + step)


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
