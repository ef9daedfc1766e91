"""Single weight files: what one holds is read from the names of its tensors, and said with where it goes."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

CHECKPOINT = "a whole checkpoint"
LORA = ("lora_", ".lora.", ".lora_A.", "hada_w", "lokr_w")
# What a file holds, by how the name of one of its tensors begins; the first that is found. A whole checkpoint holds an
# autoencoder and a text encoder too, so it is asked for before them.
KINDS = (
    (("image_proj.", "ip_adapter."), "an IP-Adapter"),
    (("control_model.", "controlnet_cond_embedding.", "input_hint_block."), "a ControlNet"),
    (("model.diffusion_model.", "double_blocks.", "joint_blocks."), CHECKPOINT),
    (("down_blocks.", "up_blocks.", "transformer_blocks."), "a denoiser alone"),
    (("first_stage_model.", "encoder.down", "decoder.up"), "an autoencoder (VAE)"),
    (("text_model.", "cond_stage_model.", "conditioner.", "encoder.block.", "encoder.layers."), "a text encoder"),
    (("emb_params", "string_to_param", "clip_l", "clip_g"), "a textual inversion embedding"),
)
# Where a part goes, once it is a folder, or as the file that it is.
FIELDS = {"a ControlNet": "controlnet", "an autoencoder (VAE)": "vae"}
FILE_FIELDS = {
    "an IP-Adapter": "ip_adapter={file!r}",
    "a textual inversion embedding": "textual_inversion={{'<a word of your own>': {file!r}}}",
}


def contents(file: Path) -> str:
    """What a safetensors file holds, in words; only its header is read.

    Raises:
        ValueError: It is torn, or no safetensors file.
    """
    try:
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is torn, or no safetensors file ({error}); download it again") from error
    if any(part in name for name in names for part in LORA):
        return "a LoRA"
    found = [kind for starts, kind in KINDS if any(name.startswith(starts) for name in names)]
    return found[0] if found else "something else than a diffusion model"


def is_checkpoint(where: str) -> bool:
    """Whether a file is a whole checkpoint in a form that is read."""
    try:
        return not pickled(where) and contents(Path(where)) == CHECKPOINT
    except ValueError:
        return False


def pickled(where: str) -> bool:
    """Whether a file is of a kind that can run code when it is opened."""
    return not where.lower().endswith(".safetensors")


def never_read(what: str) -> str:
    """What to say of a file that can run code when it is opened.

    Args:
        what: What the file is to be.
    """
    return (
        "weights in .ckpt, .pt and .bin files can run code when they are opened and are never read: look for the same"
        f" {what} as .safetensors"
    )


def refusal(argument: str, where: str) -> ValueError:
    """What to say of a file where a folder is wanted: what it is, and where it goes.

    Args:
        argument: The field of ``ModelSpec`` that names it.
        where: A file that exists.
    """
    place = f"{argument}={where!r}"
    if pickled(where):
        return ValueError(
            f"{place} is a file; give a folder in the diffusers layout: {never_read('weights')}, or load them with"
            " diffusers on a machine where you trust them, and call save_pretrained(FOLDER)"
        )
    try:
        kind = contents(Path(where))
    except ValueError as error:
        return ValueError(f"{place}: {error}")
    if kind == "a LoRA":
        return ValueError(f"{place} is a LoRA, which changes a model and is none; give it as lora={where!r} beside id")
    if kind == CHECKPOINT:
        return ValueError(f"{place} is a whole checkpoint in a single file; give it as id={where!r}")
    if (whole := FILE_FIELDS.get(kind)) is not None and argument != whole.partition("=")[0]:
        return ValueError(f"{place} holds {kind}; give it as {whole.format(file=where)} beside id")
    field = FIELDS.get(kind)
    into = f", and the folder as {field}=FOLDER" if field else ""
    return ValueError(
        f"{place} holds {kind}; give a folder in the diffusers layout, as save_pretrained(FOLDER) writes it{into}"
    )
