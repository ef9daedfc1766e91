"""Train the tiny model from scratch: ``python -m benchmarks.tiny.train --data DIR --work DIR``.

Three stages, each resumable and seeded: the autoencoder, the cached latents, the denoiser with its text encoder.
The denoiser predicts v (Salimans and Ho, 2202.00512) under min-SNR weights (Hang et al., 2303.09556, gamma 5).
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.tiny import data
from inpaint_transform.serving.words import Words, save_words
from inpaint_transform.tiny import CHECKPOINT

logger = logging.getLogger("benchmarks.tiny.train")

VAE_BATCH = 16
VAE_RATE = 1e-3
UNET_BATCH = 32
UNET_RATE = 4e-4
EMPTY_PROMPTS = 0.1
# The part of a latent outside the hole is given, not painted: it only has to continue across the edge.
WEIGHT_OUTSIDE = 0.3
MIN_SNR_GAMMA = 5.0
MAX_TOKENS = 64


def build_vae() -> AutoencoderKL:
    """The autoencoder: 4 latent channels, one latent cell for 4x4 pixels."""
    return AutoencoderKL(
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        mid_block_add_attention=False,
        sample_size=data.SIZE,
        scaling_factor=1.0,
    )


def build_unet() -> UNet2DConditionModel:
    """The denoiser: 4 noisy + 1 mask + 4 masked-image channels in, 4 out."""
    return UNet2DConditionModel(
        sample_size=data.SIZE // data.CELL,
        in_channels=9,
        out_channels=4,
        block_out_channels=(64, 128, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=8,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """The noise schedule the denoiser is trained on."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type="v_prediction",
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer with one token for every word of the captions; other words fall back to their letters."""
    words = sorted(
        {
            word
            for names in data.NAMES.values()
            for name in names
            for template in data.TEMPLATES
            for word in template.format(name).lower().split()
        }
    )
    printable = [chr(code) for code in range(33, 127)]
    tokens = [*printable, *(f"{char}</w>" for char in printable)]
    merges: list[tuple[str, str]] = []
    for word in words:
        # Later merges never undo earlier ones, so joining what is still apart gives one token in the end.
        while len(pieces := _apply_merges([*word[:-1], f"{word[-1]}</w>"], merges)) > 1:
            merges.append((pieces[0], pieces[1]))
            tokens.append(pieces[0] + pieces[1])
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
    for word in words:
        pieces = tokenizer.tokenize(word)
        if len(pieces) != 1:
            raise RuntimeError(f"the word {word!r} splits into {pieces}")
    return tokenizer


def _apply_merges(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding: join the pair that was learnt first until no known pair is left."""
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in merges]
        if not pairs:
            return pieces
        best = min(pairs, key=merges.index)
        joined: list[str] = []
        for piece in pieces:
            if joined and (joined[-1], piece) == best:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder: two narrow transformer layers, trained together with the denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class Ema:
    """An exponential moving average of a module's weights."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        """Move the average towards the weights after a step; it follows closely in the beginning."""
        decay = min(self.decay, (step + 1) / (step + 10))
        for mean, value in zip(self.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


class Run:
    """The state of one training stage: what must be saved so that it resumes where it stopped."""

    def __init__(self, path: Path, modules: dict[str, torch.nn.Module], rate: float, steps: int, decay: float) -> None:
        self.path = path
        self.modules = modules
        self.ema = {name: Ema(module, decay) for name, module in modules.items()}
        parameters = [p for module in modules.values() for p in module.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.parameters = parameters
        self.rate = rate
        self.steps = steps
        self.step = 0
        self.seconds = 0.0
        self._clock = time.monotonic()
        if path.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.path, weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
            self.ema[name].module.load_state_dict(state["ema"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        logger.info("%s: resumed at step %d", self.path.stem, self.step)

    def save(self) -> None:
        """Write the checkpoint so that a kill at any moment leaves a whole one."""
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "ema": {name: ema.module.state_dict() for name, ema in self.ema.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def update(self, loss: torch.Tensor) -> None:
        """One optimiser step under a cosine schedule with a short warm-up."""
        warm = min(1.0, (self.step + 1) / 200)
        scale = warm * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / self.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * max(scale, 0.01)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        for name, module in self.modules.items():
            self.ema[name].update(module, self.step)
        self.step += 1


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 on pixels and, for sharpness, on their differences at three scales."""
    loss = functional.l1_loss(output, target)
    for _ in range(3):
        for axis in (2, 3):
            loss = loss + 0.7 * functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        output, target = functional.avg_pool2d(output, 2), functional.avg_pool2d(target, 2)
    return loss


def train_vae(crops: data.Crops, work: Path, steps: int, seed: int) -> AutoencoderKL:
    """Train the autoencoder on whole crops and on crops with the hole blanked, as the pipeline will show it both."""
    torch.manual_seed(seed)
    vae = build_vae()
    run = Run(work / "vae.pt", {"vae": vae}, VAE_RATE, steps, 0.999)
    while run.step < steps:
        rng = np.random.default_rng((seed, 1, run.step))
        examples = [crops.draw(rng) for _ in range(VAE_BATCH)]
        target = to_pixels(np.stack([example.image for example in examples]))
        for index in range(0, VAE_BATCH, 8):
            target[index, :, torch.from_numpy(examples[index].mask)] = 0
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(target).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(run.step))
            output = vae.decode(mean + noise * torch.exp(0.5 * logvar)).sample.float()
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        loss = reconstruction_loss(output, target) + 1e-4 * divergence
        run.update(loss)
        if run.step % 50 == 0:
            psnr = -10 * math.log10(functional.mse_loss(output, target).item() / 4)
            logger.info("vae %d/%d loss %.4f psnr %.2f kl %.2f", run.step, steps, loss.item(), psnr, divergence.item())
        if run.step % 500 == 0 or run.step == steps:
            run.save()
    return run.ema["vae"].module


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, crops: data.Crops, seed: int) -> None:
    """Fold a per-channel shift and scale into the autoencoder: latents get zero mean and unit variance.

    A denoiser learns such latents best, and pipelines only know one common ``scaling_factor``.
    """
    rng = np.random.default_rng((seed, 2))
    latents = torch.cat(
        [
            vae.encode(to_pixels(np.stack([crops.draw(rng).image for _ in range(32)]))).latent_dist.mean
            for _ in range(16)
        ]
    )
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    encode.weight[:channels] /= std[:, None, None, None]
    encode.bias[:channels] = (encode.bias[:channels] - mean) / std
    encode.bias[channels:] -= 2 * std.log()
    decode.bias += (decode.weight[:, :, 0, 0] * mean).sum(dim=1)
    decode.weight *= std[None, :, None, None]


@torch.no_grad()
def cache_latents(vae: AutoencoderKL, crops: data.Crops, work: Path, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Encode ``count`` augmented examples, once, and keep them on disk."""
    path = work / "latents.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    batch = 64
    clean, masked, masks, labels = [], [], [], []
    for start in range(0, count, batch):
        rng = np.random.default_rng((seed, 3, start))
        examples = [crops.draw(rng) for _ in range(batch)]
        pixels = to_pixels(np.stack([example.image for example in examples]))
        holes = torch.from_numpy(np.stack([example.mask for example in examples]))[:, None]
        both = torch.cat([pixels, torch.where(holes, 0.0, pixels)])
        with torch.autocast("cpu", torch.bfloat16):
            encoded = vae.encode(both).latent_dist.mean.half()
        clean.append(encoded[:batch])
        masked.append(encoded[batch:])
        masks.append(holes[:, :, :: data.CELL, :: data.CELL].clone())
        labels += [list(data.NAMES).index(example.label) for example in examples]
        if start % (batch * 50) == 0:
            logger.info("latents %d/%d", start, count)
    cache = {
        "clean": torch.cat(clean),
        "masked": torch.cat(masked),
        "mask": torch.cat(masks),
        "label": torch.tensor(labels),
    }
    part = path.with_suffix(".part")
    torch.save(cache, part)
    part.replace(path)
    return cache


def train_unet(
    cache: dict[str, torch.Tensor], work: Path, steps: int, seed: int
) -> tuple[UNet2DConditionModel, CLIPTextModel, CLIPTokenizer]:
    """Train the denoiser and the text encoder on cached latents; returns their moving averages."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    alphas = build_scheduler().alphas_cumprod
    run = Run(work / "unet.pt", {"unet": unet, "text_encoder": text_encoder}, UNET_RATE, steps, 0.9995)
    labels = list(data.NAMES)
    shares = torch.tensor([data.SHARES[label] for label in labels])[cache["label"]]
    losses: list[float] = []
    while run.step < steps:
        rng = np.random.default_rng((seed, 4, run.step))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + run.step)
        rows = torch.multinomial(shares, UNET_BATCH, replacement=True, generator=generator)
        prompts = [
            "" if rng.random() < EMPTY_PROMPTS else data.caption(labels[label], rng)
            for label in cache["label"][rows].tolist()
        ]
        clean, masked = cache["clean"][rows].float(), cache["masked"][rows].float()
        mask = cache["mask"][rows].float()
        tokens = tokenizer(prompts, padding="max_length", max_length=MAX_TOKENS, return_tensors="pt").input_ids
        times = torch.randint(len(alphas), (UNET_BATCH,), generator=generator)
        alpha = alphas[times][:, None, None, None]
        noise = torch.randn(clean.shape, generator=generator)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text_encoder(tokens).last_hidden_state
            output = unet(torch.cat([noisy, mask, masked], dim=1), times, hidden).sample.float()
        snr = (alpha / (1 - alpha))[:, 0, 0, 0]
        weight = snr.clamp(max=MIN_SNR_GAMMA) / (snr + 1)
        error = (output - target) ** 2 * (WEIGHT_OUTSIDE + (1 - WEIGHT_OUTSIDE) * mask)
        loss = (error.mean(dim=(1, 2, 3)) * weight).mean()
        run.update(loss)
        losses.append(loss.item())
        if run.step % 100 == 0:
            logger.info("unet %d/%d loss %.4f", run.step, steps, np.mean(losses[-100:]))
        if run.step % 500 == 0 or run.step == steps:
            run.save()
    return run.ema["unet"].module, run.ema["text_encoder"].module, tokenizer


def save_checkpoint(
    target: Path,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:
    """Write an fp16 safetensors folder that ``diffusers`` loads like any other inpainting checkpoint."""
    pipeline = StableDiffusionInpaintPipeline(
        vae=copy.deepcopy(vae).half(),
        text_encoder=copy.deepcopy(text_encoder).half(),
        tokenizer=tokenizer,
        unet=copy.deepcopy(unet).half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(target, safe_serialization=True)
    # So that whoever asks for something else is told.
    save_words(target, Words("tiny", {thing: others for thing, *others in data.NAMES.values()}))


def ema_modules(work: Path, crops: data.Crops, seed: int) -> dict[str, Any]:
    """The latest moving averages on disk, also while training still runs elsewhere."""
    tokenizer = build_tokenizer()
    modules: dict[str, Any] = {"vae": build_vae(), "unet": build_unet(), "text_encoder": build_text_encoder(tokenizer)}
    for file, names in (("vae.pt", ("vae",)), ("unet.pt", ("unet", "text_encoder"))):
        state = torch.load(work / file, weights_only=True)
        for name in names:
            modules[name].load_state_dict(state["ema"][name])
            modules[name].eval()
    normalise_latents(modules["vae"], crops, seed)
    return {**modules, "tokenizer": tokenizer}


def main() -> None:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and cached latents")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="where to write the diffusers folder")
    parser.add_argument("--vae-steps", type=int, default=5000)
    parser.add_argument("--latents", type=int, default=40_000)
    parser.add_argument("--unet-steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="one thread a process is fastest per core")
    parser.add_argument("--export-only", action="store_true", help="write the latest checkpoints and stop")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    crops = data.Crops(data.load(arguments.data, ["train"]))
    logger.info("boxes: %s", json.dumps({label: len(found) for label, found in crops.by_label.items()}))
    if not arguments.export_only:
        vae = train_vae(crops, arguments.work, arguments.vae_steps, arguments.seed)
        normalise_latents(vae, crops, arguments.seed)
        cache = cache_latents(vae, crops, arguments.work, arguments.latents, arguments.seed)
        train_unet(cache, arguments.work, arguments.unet_steps, arguments.seed)
    save_checkpoint(arguments.out, **ema_modules(arguments.work, crops, arguments.seed))


if __name__ == "__main__":
    main()
