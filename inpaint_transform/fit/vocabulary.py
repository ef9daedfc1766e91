"""A tokenizer that knows the words of some classes, and an older one that learns them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from transformers import CLIPTokenizer

MAX_TOKENS = 64
START, END = "<|startoftext|>", "<|endoftext|>"


def new_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """A CLIP tokenizer with one token for each word of some texts; other words fall back to their letters."""
    printable = [chr(code) for code in range(33, 127)]
    vocabulary = {token: index for index, token in enumerate([*printable, *(f"{char}</w>" for char in printable)])}
    return with_words(_tokenizer(vocabulary, [], (), MAX_TOKENS), texts)


def with_words(tokenizer: Any, texts: Iterable[str]) -> CLIPTokenizer:
    """A tokenizer that also has one token for each word of some texts; all it knew keep their ids."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
    words = sorted({word for text in texts for word in words_of(tokenizer, text)})
    return _tokenizer(dict(model["vocab"]), merges, words, tokenizer.model_max_length)


def words_of(tokenizer: Any, text: str) -> list[str]:
    """The words of a text as a CLIP tokenizer parts them, each in the letters of its alphabet of bytes."""
    parts = tokenizer.backend_tokenizer
    return [word for word, _ in parts.pre_tokenizer.pre_tokenize_str(parts.normalizer.normalize_str(text))]


def new_words(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """The words of some texts that a tokenizer has no token of their own for, in the order of the alphabet."""
    vocabulary = tokenizer.get_vocab()
    return sorted({word for text in texts for word in words_of(tokenizer, text) if f"{word}</w>" not in vocabulary})


def _tokenizer(
    vocabulary: dict[str, int], merges: list[tuple[str, ...]], words: Iterable[str], length: int
) -> CLIPTokenizer:
    known = set(merges)
    for word in words:
        # Later merges never undo earlier ones, so joining what is still apart gives one token in the end.
        pieces = _merged([*word[:-1], f"{word[-1]}</w>"], merges)
        for piece in pieces:
            vocabulary.setdefault(piece, len(vocabulary))
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            if pair not in known:
                merges.append(pair)
                known.add(pair)
            vocabulary.setdefault("".join(pair), len(vocabulary))
            pieces = _merged([*word[:-1], f"{word[-1]}</w>"], merges)
    for special in (START, END):
        vocabulary.setdefault(special, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def _merged(pieces: list[str], merges: list[tuple[str, ...]]) -> list[str]:
    """Byte-pair encoding: join the pair that was learnt first until no known pair is left."""
    rank = {pair: index for index, pair in enumerate(merges)}
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in rank]
        if not pairs:
            return pieces
        best = min(pairs, key=lambda pair: rank[pair])
        joined: list[str] = []
        for piece in pieces:
            if joined and (joined[-1], piece) == best:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined
