"""A small diffusers folder as one file with the names that Stable Diffusion was published with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Weights = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}


def save_original(folder: Path, file: Path) -> Path:
    """Write a folder's denoiser, autoencoder and text encoder into one file."""
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    layers = json.loads((folder / "unet" / "config.json").read_text())["layers_per_block"]
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    blocks = len(json.loads((folder / "vae" / "config.json").read_text())["up_block_types"])
    text = load_file(folder / "text_encoder" / "model.safetensors")
    weights: Weights = {f"model.diffusion_model.{_unet_name(name, layers)}": value for name, value in unet.items()}
    for name, value in vae.items():
        original = _vae_name(name, blocks)
        attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", original)
        weights[f"first_stage_model.{original}"] = value[:, :, None, None] if attention else value
    weights.update(
        {
            f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}": value
            for name, value in text.items()
        }
    )
    save_file({name: value.contiguous() for name, value in weights.items()}, file)
    return file


def _unet_name(name: str, layers: int) -> str:
    for new, old in ENDS.items():
        if name.startswith(f"{new}."):
            return name.replace(new, old, 1)
    if found := re.match(r"mid_block\.(resnets\.\d|attentions\.0)\.(.*)", name):
        return f"middle_block.{MIDDLE[found[1]]}.{_inside(found[1], found[2])}"
    found = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    assert found is not None, name
    side, block, part, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if side == "down":
        if part == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op{rest.removeprefix('conv')}"
        number = 1 + block * (layers + 1) + layer
        return f"input_blocks.{number}.{int(part == 'attentions')}.{_inside(part, rest)}"
    # The first block from below is the one with attention, and ends with the upsampling.
    if part == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.2.{rest}"
    return f"output_blocks.{block * (layers + 1) + layer}.{int(part == 'attentions')}.{_inside(part, rest)}"


def _inside(part: str, rest: str) -> str:
    if part.startswith("attentions"):
        return rest
    head, _, tail = rest.partition(".")
    return f"{RESNET[head]}.{tail}"


def _vae_name(name: str, blocks: int) -> str:
    found = re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(.*)", name)
    if found:
        side, way, block, rest = found[1], found[2], int(found[3]), found[4]
        block = block if way == "down" else blocks - 1 - block
        rest = rest.replace("resnets.", "block.").replace("conv_shortcut", "nin_shortcut")
        rest = rest.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        return f"{side}.{way}.{block}.{rest}"
    for new, old in (
        ("mid_block.resnets.0", "mid.block_1"),
        ("mid_block.resnets.1", "mid.block_2"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
        ("conv_norm_out", "norm_out"),
    ):
        name = name.replace(new, old)
    return name
