"""Words that a model was taught by textual inversion: an embedding for each, put beside those of its text encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from huggingface_hub import errors
from safetensors import SafetensorError
from safetensors.torch import load_file

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine.sources import hub_options, load_error
from inpaint_transform.engine.weight_files import contents, never_read, pickled

# What diffusers writes.
FILE = "learned_embeds.safetensors"
EMBEDDING = "a textual inversion embedding"
# What a file for both text encoders of SDXL calls its tensors.
_BOTH = {"clip_l": "", "clip_g": "_2"}


def teach(pipeline: Any, spec: ModelSpec) -> None:
    """Teach a pipeline the words of a spec.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is something else, was made for another text encoder, or the word is known already.
        InpaintError: The hub does not give it.
    """
    for word, where in spec.words:
        if not hasattr(pipeline, "load_textual_inversion"):
            raise ValueError(f"textual_inversion={{{word!r}: ...}}: a {type(pipeline).__name__} takes none")
        for suffix, embedding in _embeddings(pipeline, word, where).items():
            encoder = getattr(pipeline, f"text_encoder{suffix}")
            tokenizer = getattr(pipeline, f"tokenizer{suffix}")
            width = encoder.get_input_embeddings().weight.shape[-1]
            if embedding.shape[-1] != width:
                raise _unusable(
                    word,
                    where,
                    f"was made for a text encoder of {embedding.shape[-1]} features, and this model's has {width}; use"
                    " one that was trained for this model",
                )
            if word in tokenizer.get_vocab():
                raise _unusable(word, where, "the model has such a word already; call it something else, e.g. '<mine>'")
            pipeline.load_textual_inversion(embedding, token=word, tokenizer=tokenizer, text_encoder=encoder)


def _embeddings(pipeline: Any, word: str, where: str) -> dict[str, torch.Tensor]:
    """The embedding for each text encoder, by the end of the encoder's name."""
    file = _file(word, where)
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unusable(word, where, f"is torn, or no safetensors file ({error}); download it again") from error
    if set(tensors) == set(_BOTH) and hasattr(pipeline, "text_encoder_2"):
        return {suffix: tensors[name] for name, suffix in _BOTH.items()}
    if len(tensors) != 1 or next(iter(tensors.values())).ndim > 2:
        raise _unusable(word, where, f"is no textual inversion embedding for this model: it holds {contents(file)}")
    return {"": next(iter(tensors.values()))}


def _file(word: str, where: str) -> Path:
    path = Path(where)
    if path.is_file():
        if pickled(where):
            raise _unusable(word, where, never_read("embedding"))
        return path
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"textual_inversion={{{word!r}: {where!r}}}: the folder has {len(found)} .safetensors files; name one"
            )
        return found[0]
    try:
        return Path(huggingface_hub.hf_hub_download(where, FILE, **hub_options(where)))
    except (OSError, ValueError, errors.EntryNotFoundError) as error:
        raise load_error("textual_inversion", where, error) from error


def _unusable(word: str, where: str, why: str) -> ValueError:
    return ValueError(f"textual_inversion={{{word!r}: {where!r}}}: {why}")
