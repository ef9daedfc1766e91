"""A LoRA on the denoiser of an inpainting checkpoint; autoencoder and text encoders stay as they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from inpaint_transform.fit.captions import Captions
from inpaint_transform.fit.denoise import (
    HELD_OUT_COUNT,
    Predict,
    Schedule,
    cache_latents,
    held_out_loss,
    step_loss,
)
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.hyperparameters import Plan
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded
from inpaint_transform.fit.trainer import Progress, Training, adamw

logger = logging.getLogger(__name__)

RATE = 1e-4
PATIENCE = 4
# Follows faster than that of a whole model: a LoRA is trained in a few hundred steps.
DECAY = 0.995
# The projections of every attention, as diffusers' own training scripts take them.
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def train(
    pipeline: Any, crops: Crops, held_out: Crops | None, captions: Captions, plan: Plan, work: Path, progress: bool
) -> Iterator[tuple[str, int, Progress]]:
    """Train a LoRA on a pipeline's denoiser; see ``full.train``, whose arguments these are."""
    unet, device = pipeline.unet, pipeline.unet.device
    for model in _models(pipeline):
        model.requires_grad_(False)
    # Half floats overflow in the autoencoder of SDXL, and what is encoded once may take its time.
    pipeline.vae.float()
    latents = cache_latents(pipeline.vae, crops, plan.crops, plan.seed + 3, work / "latents.pt", progress)
    kept = held_out and cache_latents(
        pipeline.vae, held_out, min(HELD_OUT_COUNT, plan.crops), plan.seed + 4, work / "unseen.pt", progress
    )
    predict = _predict(pipeline, captions, crops.size)
    rest(pipeline)
    with seeded(plan.seed):
        unet.add_adapter(
            LoraConfig(r=plan.rank, lora_alpha=plan.rank, init_lora_weights="gaussian", target_modules=TARGETS)
        )
    parameters = {name: value for name, value in unet.named_parameters() if value.requires_grad}
    for value in parameters.values():
        value.data = value.data.float()
    unet.enable_gradient_checkpointing()
    # Checkpointing is for training mode only; nothing here drops out.
    unet.train()
    schedule = Schedule(pipeline.scheduler)
    training = Training(work / "lora.pt", parameters, plan.rate or RATE, DECAY, _optimizer(device))
    loss = step_loss(schedule, predict, latents, captions, plan.batch, plan.seed, device)
    measured = held_out_loss(schedule, predict, kept, captions, plan.batch, device) if kept else None
    for step in training.run(plan.steps, loss, measured, plan.every, PATIENCE):
        yield "LoRA", plan.steps, step
    training.finish()
    unet.disable_gradient_checkpointing()
    unet.eval()


def _predict(pipeline: Any, captions: Captions, size: int) -> Predict:
    """The denoiser on captions that are put into words once: the text encoders are not needed afterwards."""
    device = pipeline.unet.device
    said = captions.everything()
    known: dict[str, tuple[torch.Tensor, ...]] = {}
    with torch.no_grad():
        for caption in said:
            found = pipeline.encode_prompt(
                prompt=caption, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
            )
            known[caption] = tuple(
                # On the CPU: of many classes and templates they are gigabytes.
                part.cpu()
                for part in (found[0], found[2] if len(found) > 2 else None)
                if part is not None
            )
    if pipeline.config.get("force_zeros_for_empty_prompt"):
        # What SDXL pipelines take for no prompt: guidance starts from it, so it is what is to be learnt.
        known[""] = tuple(torch.zeros_like(part) for part in known[""])
    # SDXL is told the size and place of the crop.
    place = torch.tensor([[size, size, 0, 0, size, size]], device=device)

    def predict(noisy: torch.Tensor, times: torch.Tensor, wanted: list[str]) -> torch.Tensor:
        hidden = torch.cat([known[caption][0] for caption in wanted]).to(device)
        more = {}
        if len(known[""]) > 1:
            pooled = torch.cat([known[caption][1] for caption in wanted]).to(device)
            more = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": place.repeat(len(wanted), 1).to(hidden)}}
        with autocast(device):
            output: torch.Tensor = pipeline.unet(noisy, times, hidden, **more).sample
        return output

    return predict


def _models(pipeline: Any) -> list[torch.nn.Module]:
    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]


def rest(pipeline: Any) -> None:
    """Move what is not trained to the CPU; ``awake`` brings it back."""
    for model in _models(pipeline):
        if model is not pipeline.unet:
            model.to("cpu")
    if pipeline.unet.device.type == "cuda":
        torch.cuda.empty_cache()


def awake(pipeline: Any) -> None:
    """Move all that painting needs to the denoiser's device."""
    for model in _models(pipeline):
        model.to(pipeline.unet.device)


def _optimizer(device: torch.device) -> Any:
    """Adam with 8-bit state where that is installed."""
    if device.type != "cuda":
        return adamw
    try:
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found]
    except ImportError:
        logger.info("bitsandbytes is not installed; Adam keeps its state in 32 bits")
        return adamw
    return lambda parameters, rate: AdamW8bit(parameters, rate, betas=(0.9, 0.99), weight_decay=0.01)


def save(pipeline: Any, folder: Path) -> None:
    """Write ``pytorch_lora_weights.safetensors``, for diffusers' ``load_lora_weights`` and ``ModelSpec(lora=)``."""
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    type(pipeline).save_lora_weights(folder, unet_lora_layers=layers, safe_serialization=True)
