"""The presets: which fields of ``ModelSpec`` a short name such as ``"sd15"`` stands for.

Plain values, so that ``models`` can read them: ``models.PRESETS`` are the specs made of them.
"""

from __future__ import annotations

import os
from typing import Any

from inpaint_transform.tiny import CHECKPOINT

# Hub ids as they exist today: runwayml/stable-diffusion-inpainting and stabilityai/stable-diffusion-2-inpainting
# are gone, the ids below are where the same weights live now.
PRESET_FIELDS: dict[str, dict[str, Any]] = {
    "tiny": {"id": os.fspath(CHECKPOINT), "size": 128, "steps": 3, "guidance_scale": 1.0},
    "sd15": {
        "id": "stable-diffusion-v1-5/stable-diffusion-inpainting",
        "variant": "fp16",
        "size": 512,
        "steps": 20,
        "guidance_scale": 7.5,
    },
    "sd15-lcm": {
        "id": "stable-diffusion-v1-5/stable-diffusion-inpainting",
        "variant": "fp16",
        "size": 512,
        "steps": 4,
        "guidance_scale": 1.0,
        "scheduler": "LCMScheduler",
        "lora": "latent-consistency/lcm-lora-sdv1-5",
    },
    "sd2": {
        "id": "sd2-community/stable-diffusion-2-inpainting",
        "variant": "fp16",
        "size": 512,
        "steps": 20,
        "guidance_scale": 7.5,
    },
    "sd-turbo": {"id": "stabilityai/sd-turbo", "variant": "fp16", "size": 512, "steps": 2, "guidance_scale": 0.0},
    "sdxl": {
        "id": "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
        "variant": "fp16",
        "size": 1024,
        "steps": 20,
        "guidance_scale": 7.5,
        "vae": "madebyollin/sdxl-vae-fp16-fix",
    },
    "sdxl-lcm": {
        "id": "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
        "variant": "fp16",
        "size": 1024,
        "steps": 4,
        "guidance_scale": 1.0,
        "scheduler": "LCMScheduler",
        "lora": "latent-consistency/lcm-lora-sdxl",
        "vae": "madebyollin/sdxl-vae-fp16-fix",
    },
    # Distilled: its class would run 50 steps with guidance 8.
    "flux2-klein": {
        "id": "black-forest-labs/FLUX.2-klein-4B",
        "dtype": "bfloat16",
        "size": 1024,
        "steps": 4,
        "guidance_scale": 1.0,
    },
    # Distilled: its class would run 50 steps with guidance 5.
    "z-image-turbo": {
        "id": "Tongyi-MAI/Z-Image-Turbo",
        "dtype": "bfloat16",
        "size": 1024,
        "steps": 8,
        "guidance_scale": 0.0,
    },
    "flux-fill": {
        "id": "black-forest-labs/FLUX.1-Fill-dev",
        "dtype": "bfloat16",
        "size": 1024,
        "steps": 28,
        "guidance_scale": 30.0,
    },
}
