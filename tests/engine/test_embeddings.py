"""Prompts: encoded once, kept within bounds, and never cut short without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crop_requests import checkpoints, count_calls, difference, make, request

from inpaint_transform.engine import embeddings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return checkpoints(tmp_path_factory.mktemp("checkpoints"))


def test_cached_and_evicted_prompts_paint_the_same(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request(seed, prompt=prompt) for seed, prompt in enumerate(["a", "b", "a", "c"])]
    path = folder("StableDiffusionXLInpaintPipeline-9")
    engine = make(path)
    encoder_calls = count_calls(engine._pipeline.text_encoder.get_input_embeddings())
    first = engine.paint(requests)
    # Three prompts; SDXL takes zeros for an empty negative prompt.
    assert encoder_calls == [1, 1, 1]
    encoder_calls.clear()
    again = engine.paint(requests)
    assert encoder_calls == []
    monkeypatch.setattr(embeddings, "CACHE_BYTES", 1)
    uncached = make(path).paint(requests)
    for one, two, three in zip(first, again, uncached, strict=True):
        assert difference(one, two) == 0
        assert difference(one, three) == 0


def test_a_prompt_may_be_as_long_as_the_longest_text_encoder_reads(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusion3InpaintPipeline"))
    engine.check(request(prompt="word " * 40))
    with pytest.raises(ValueError, match="reads 256"):
        engine.check(request(prompt="word " * 80))
