"""What the text encoders make of a prompt: computed once, kept, and never silently cut short."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

# Of the last used prompts. A Stable Diffusion prompt with its negative takes 0.2 MB in fp16, a Flux prompt 4 MB.
CACHE_BYTES = 128 * 2**20

Embeddings = dict[str, torch.Tensor]


class Recent:
    """The results of the last keys, up to ``CACHE_BYTES`` of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Embeddings] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Embeddings]) -> Embeddings:
        """What is kept under a key, made at its first use."""
        row = self._kept.get(key)
        if row is None:
            row = self._kept[key] = make()
            self._bytes += _size(row)
            while self._bytes > CACHE_BYTES and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(key)
        return row


class PromptCache:
    """Prompt embeddings of one pipeline, as the arguments its ``__call__`` takes.

    Prompts are encoded one by one, so that an embedding does not depend on which prompts it was asked for with.

    Args:
        pipeline: A diffusers pipeline whose ``encode_prompt`` returns tensors.
        names: The ``__call__`` argument that takes each result of ``encode_prompt``, None for a result that
            nobody asks for.
        guided: Whether the negative prompt is needed.
        device: Where the pipeline works.
    """

    def __init__(self, pipeline: Any, names: Sequence[str | None], guided: bool, device: torch.device) -> None:
        self._pipeline = pipeline
        self._names = names
        self._guided = guided
        self._device = device
        self._recent = Recent()

    def arguments(self, prompts: Sequence[tuple[str, str]]) -> Embeddings:
        """The embeddings of a batch, stacked.

        Args:
            prompts: A (prompt, negative prompt) pair for each request.

        Returns:
            Argument name to tensor, batch first.
        """
        rows = [self._row(prompt, negative if self._guided else "") for prompt, negative in prompts]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _row(self, prompt: str, negative: str) -> Embeddings:
        return self._recent.get((prompt, negative), lambda: self._encode(prompt, negative))

    @torch.no_grad()
    def _encode(self, prompt: str, negative: str) -> Embeddings:
        known = inspect.signature(self._pipeline.encode_prompt).parameters
        wanted = {
            "prompt": [prompt],
            # None: the further text encoders read the same prompt.
            "prompt_2": None,
            "prompt_3": None,
            # None rather than "": some SDXL checkpoints were trained on zeros there.
            "negative_prompt": [negative] if negative else None,
            # Not pipeline.device: a part that is offloaded is somewhere else.
            "device": self._device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": self._guided,
        }
        results = self._pipeline.encode_prompt(**{name: value for name, value in wanted.items() if name in known})
        named = zip(self._names, results, strict=True)
        return {name: result for name, result in named if name is not None and result is not None}


def _size(row: Embeddings) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in row.values())


class TokenLimit:
    """How long a prompt may be before every text encoder of a pipeline would cut it.

    A pipeline with a short and a long encoder (CLIP beside T5) loses nothing as long as the long one reads it all.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        longest = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
        self._readers: list[tuple[Any, int]] = []
        for suffix in ("", "_2", "_3"):
            tokenizer = getattr(pipeline, f"tokenizer{suffix}", None)
            if tokenizer is None or getattr(pipeline, f"text_encoder{suffix}", None) is None:
                continue
            clip = "CLIP" in type(tokenizer).__name__
            limit = tokenizer.model_max_length if longest is None or clip else longest.default
            self._readers.append((tokenizer, limit))
        # Of a kept prompt only its excess is kept: 4096 of them weigh nothing.
        self._excess = functools.lru_cache(maxsize=4096)(self._measure)

    def _spelt(self, prompt: str, tokenizer: Any) -> str:
        """The prompt with every token of a word that was taught several."""
        spell = getattr(self._pipeline, "maybe_convert_prompt", None)
        return prompt if spell is None else str(spell(prompt, tokenizer))

    def check(self, argument: str, prompt: str) -> None:
        """Raise where a prompt is too long.

        Raises:
            ValueError: Names the argument, the prompt, its length in tokens and the limit.
        """
        excess = self._excess(prompt)
        if excess is not None:
            length, limit = excess
            raise ValueError(
                f"{argument}={prompt!r} has {length} tokens, but the model reads {limit} and would drop the rest:"
                " shorten it"
            )

    def _measure(self, prompt: str) -> tuple[int, int] | None:
        """Length and limit in tokens for the most patient reader, or None where it reads the whole prompt."""
        lengths = [(_count(tokenizer, self._spelt(prompt, tokenizer)), limit) for tokenizer, limit in self._readers]
        if any(length <= limit for length, limit in lengths):
            return None
        return max(lengths, key=lambda pair: pair[1], default=None)


def _count(tokenizer: Any, prompt: str) -> int:
    if getattr(tokenizer, "chat_template", None):
        message = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return len(tokenizer(prompt).input_ids)
