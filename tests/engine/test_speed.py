"""What makes a pipeline faster and leaves what it paints alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import pytest
import torch
from crop_requests import checkpoints, count_calls, difference, make, request

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.engine import Engine
from inpaint_transform.engine.speed import batch_buckets, bucket_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.parametrize("most", range(1, 20))
def test_a_batch_is_padded_to_a_compiled_size_by_less_than_twice(most: int) -> None:
    assert batch_buckets(most)[-1] == most
    for count in range(1, most + 1):
        assert count <= bucket_for(count, most) < 2 * count


@pytest.mark.parametrize("name", pipelines.SAVERS)
def test_the_memory_format_changes_nothing_to_be_seen(name: str, folder: Callable[[str], Path]) -> None:
    requests = [request(), request(1, strength=0.6)]
    plain = make(folder(name), channels_last=False).paint(requests)
    for one, other in zip(plain, make(folder(name), channels_last=True).paint(requests), strict=True):
        assert difference(one, other) <= 1


@pytest.mark.parametrize(("limit", "left"), [(8, 4), (6, 2), (3, 1)])
def test_a_full_device_leaves_a_compiled_model_a_batch_size_that_it_has(
    limit: int, left: int, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which sizes are painted does not depend on the compiler, and compiling takes a minute.
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    path = folder("StableDiffusionInpaintPipeline-9")
    engine = make(path, compile=True, max_batch_size=limit, guidance_scale=1.0)
    sizes = count_calls(engine._pipeline.unet)

    def out_of_memory(_: Any, args: Any) -> None:
        if len(args[0]) > left:
            raise torch.OutOfMemoryError("no room")

    engine._pipeline.unet.register_forward_pre_hook(out_of_memory)
    requests = [request(seed) for seed in range(limit)]
    roomy = make(path, guidance_scale=1.0).paint(requests)
    for result, expected in zip(engine.paint(requests), roomy, strict=True):
        assert difference(result, expected) <= 1
    assert sizes[0] == limit
    assert set(sizes[1:]) <= {1, 2, 4}


@pytest.mark.slow  # minutes on a core of its own: three batch sizes of three modules go through the C++ compiler
@pytest.mark.timeout(900)
def test_a_compiled_model_paints_the_same_and_compiles_nothing_later() -> None:
    def sized(seed: int, strength: float) -> InpaintRequest:
        image = np.random.default_rng(seed).integers(0, 256, (plain.size, plain.size, 3), dtype=np.uint8)
        mask = np.zeros(image.shape[:2], bool)
        mask[18:80, 14:90] = True
        return InpaintRequest(image, mask, "a red blood cell", strength=strength, seed=seed)

    random_state = torch.get_rng_state()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    plain, compiled = (
        Engine(ModelSpec("tiny", device="cpu", steps=2, max_batch_size=4, compile=switch)) for switch in (False, True)
    )
    programs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert programs > before
    for count, strength in [(1, 1.0), (3, 1.0), (2, 0.5), (8, 1.0), (1, 0.5)]:
        requests = [sized(seed, strength) for seed in range(count)]
        theirs, ours = plain.paint(requests), compiled.paint(requests)
        assert len(ours) == count
        for one, other in zip(theirs, ours, strict=True):
            assert one.image is not None
            assert other.image is not None
            assert np.abs(one.image.astype(int) - other.image).max() <= 1
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == programs
    assert torch.equal(random_state, torch.get_rng_state())


# Compiles a small part as an engine compiles its own, and says whether torch had the program on disk.
COMPILE = """
from types import SimpleNamespace
import torch
from inpaint_transform.engine.speed import compile_parts, compiling

class Part(torch.nn.Module):
    def forward(self, pixels):
        return pixels.sigmoid().mean()

part = Part()
compile_parts(SimpleNamespace(unet=part, vae=Part()))
with torch.no_grad(), compiling():
    assert part(torch.zeros(3, 5)) == 0.5
print(torch._dynamo.utils.counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.slow  # three processes that each start torch's compiler
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs a CPU with vectors to do without"
)
def test_a_compiled_program_is_kept_for_processors_of_its_kind_only(tmp_path: Path) -> None:
    def cached(**variables: str) -> bool:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), **variables}
        run = subprocess.run(
            [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, timeout=300, check=True
        )
        return run.stdout.split() == ["1"]

    assert not cached()
    assert cached()
    assert not cached(ATEN_CPU_CAPABILITY="default")
