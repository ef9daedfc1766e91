"""All weights of a small model: its autoencoder, denoiser and text encoder on cached latents, critics at the end."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from inpaint_transform.fit import adversary, autoencoder, sharpening
from inpaint_transform.fit.architecture import many_steps, usual
from inpaint_transform.fit.bases import quiet
from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.critic import Features
from inpaint_transform.fit.denoise import (
    HELD_OUT_COUNT,
    Latents,
    Predict,
    Schedule,
    cache_latents,
    held_out_loss,
    step_loss,
    take,
)
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.hyperparameters import Plan
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.trainer import Progress, Training, write_whole

RATE = 4e-4
PATIENCE = 12
# Of the autoencoder's crops, for its loss on what is held out.
HELD_OUT_PIXELS = 64
# Examples that are painted for the decoder to learn from.
MAX_PAINTED = 1500
_PAINTED_AT_ONCE = 16


def train(
    pipeline: Any,
    crops: Crops,
    held_out: Crops | None,
    captions: Captions,
    plan: Plan,
    work: Path,
    progress: bool,
    teacher: Any | None = None,
    features: Features | None = None,
) -> Iterator[tuple[str, int, Progress]]:
    """Train a pipeline in place; it holds the best average when the iterator ends.

    Args:
        pipeline: A small Stable Diffusion inpainting pipeline whose tokenizer knows the captions' words.
        crops: What to train on.
        held_out: What says when to stop, or None.
        captions: What is said of each class.
        plan: Steps, batch, seed and the like.
        work: Where checkpoints and caches are kept.
        progress: Whether to show bars while crops are cut and encoded.
        teacher: The autoencoder that the pipeline had before, whose latents the denoiser knows.
        features: A frozen network that critics of denoiser and decoder see with.

    Yields:
        After each step: what is trained, its steps in all, and where it stands.
    """
    if teacher is not None:
        teacher.float().requires_grad_(False).to(pipeline.vae.device)
    for model in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        model.float().requires_grad_(True)
    vae = pipeline.vae
    pixels = autoencoder.Pixels(crops, plan.crops_of_autoencoder, plan.seed + 1, work / "pixels.npy", progress)
    unseen = autoencoder.Pixels(held_out or crops, HELD_OUT_PIXELS, plan.seed + 2, work / "unseen.npy", progress)
    steps, batch_of_pixels, path = plan.steps_of_autoencoder, plan.batch_of_autoencoder, work / "autoencoder.pt"
    for step in autoencoder.train(vae, pixels, unseen, steps, batch_of_pixels, plan.seed, path, teacher):
        yield "autoencoder", steps, step
    if teacher is None and steps:
        autoencoder.normalise(vae, pixels)
    vae.requires_grad_(False)
    with autocast(vae.device):
        latents = cache_latents(vae, crops, plan.crops, plan.seed + 3, work / "latents.pt", progress)
        kept = held_out and cache_latents(vae, held_out, HELD_OUT_COUNT, plan.seed + 4, work / "unseen.pt", progress)
    models: dict[str, torch.nn.Module] = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    parameters = {f"{part}.{name}": value for part, model in models.items() for name, value in model.named_parameters()}
    if plan.steps:
        pipeline.scheduler = many_steps(pipeline.scheduler)
    schedule, predict, device = Schedule(pipeline.scheduler), _predict(pipeline), vae.device
    training = Training(work / "denoiser.pt", parameters, plan.rate or RATE)
    loss = step_loss(schedule, predict, latents, captions, plan.batch, plan.seed, device)
    measured = held_out_loss(schedule, predict, kept, captions, plan.batch, device) if kept else None
    for step in training.run(plan.steps, loss, measured, plan.every, PATIENCE):
        yield "denoiser", plan.steps, step
    training.finish()
    # What follows a denoiser that is trained further begins anew.
    after = str(training.step)
    if features is not None and plan.steps_of_adversary:
        steps, path = plan.steps_of_adversary, work / f"adversary-{after}.pt"
        for step in adversary.train(pipeline, predict, latents, captions, features, plan, path):
            yield "adversary", steps, step
        after += f"-{steps}"
    if plan.steps_of_decoder:
        path = work / f"painted-{after}.pt"
        painted = _painted(pipeline, crops.size, latents, captions, plan.seed, path, progress)
        steps, path = plan.steps_of_decoder, work / f"decoder-{after}.pt"
        for step in sharpening.sharpen(vae, pixels, painted, steps, batch_of_pixels, plan.seed, path, features):
            yield "decoder", steps, step


@torch.no_grad()
def _painted(
    pipeline: Any, size: int, latents: Latents, captions: Captions, seed: int, path: Path, progress: bool
) -> sharpening.Painted:
    """What the pipeline paints of the cached examples, once: the next call finds it on disk."""
    if path.exists():
        kept = torch.load(path, weights_only=True)
        # However many those were.
        return sharpening.Painted(kept["latents"], latents.hole[: len(kept["latents"])].float(), kept["coarse"])
    count = min(MAX_PAINTED, len(latents.labels))
    rng, device, paints = random.Random(seed), pipeline.vae.device, usual(pipeline)  # noqa: S311 - captions
    found = []
    rows = torch.arange(count).split(_PAINTED_AT_ONCE)
    for chosen in tqdm(rows, "painting", unit="batch", disable=None if progress else True):
        some = take(latents, chosen, device)
        with autocast(device), quiet():
            painted = pipeline(
                prompt=[captions.draw(label, rng) for label in some.labels],
                image=torch.zeros(len(chosen), 3, size, size),
                mask_image=functional.interpolate(some.hole.float(), size=(size, size)),
                masked_image_latents=some.masked.float(),
                height=size,
                width=size,
                strength=1.0,
                num_inference_steps=paints["steps"],
                guidance_scale=paints["guidance_scale"],
                generator=[torch.Generator().manual_seed(row) for row in chosen.tolist()],
                output_type="latent",
            ).images
        found.append(painted.float().cpu() / pipeline.vae.config.scaling_factor)
    whole = torch.cat(found)
    coarse = sharpening.coarse_pictures(pipeline.vae, whole)
    write_whole({"latents": whole, "coarse": coarse}, path)
    return sharpening.Painted(whole, latents.hole[:count].float(), coarse)


def _predict(pipeline: Any) -> Predict:
    tokenizer, device = pipeline.tokenizer, pipeline.vae.device

    def predict(noisy: torch.Tensor, times: torch.Tensor, captions: list[str]) -> torch.Tensor:
        tokens = tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids.to(device)
        with autocast(device), _attention(device):
            hidden = pipeline.text_encoder(tokens).last_hidden_state
            output: torch.Tensor = pipeline.unet(noisy, times, hidden).sample
        return output

    return predict


def _attention(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On a CPU the way back through the fused kernel costs more than plain products do, by far."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def save(pipeline: Any, folder: Path) -> None:
    """Write a folder that diffusers loads like any other checkpoint: float16 safetensors."""
    halves = {name: copy.deepcopy(getattr(pipeline, name)).half() for name in ("vae", "text_encoder", "unet")}
    # Nobody else needs to know in which folder the base lay.
    for part in (halves["vae"], halves["unet"]):
        part.register_to_config(_name_or_path="")
    written = type(pipeline)(**{**pipeline.components, **halves}, requires_safety_checker=False)
    with quiet():
        written.save_pretrained(folder, safe_serialization=True)
