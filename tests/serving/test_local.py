"""The inpainter of one process."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.local import LocalInpainter

pytestmark = pytest.mark.usefixtures("inverting")
MASK = np.zeros((16, 16), bool)
MASK[4:12, 4:12] = True


def request(prompt: str = "", seed: int = 0) -> InpaintRequest:
    return InpaintRequest(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8), MASK, prompt, seed=seed)


def local(**fields: object) -> LocalInpainter:
    return LocalInpainter(ModelSpec("stand-in", device="cpu", serving="local", **fields))


def is_right(result: object, asked: InpaintRequest) -> bool:
    return np.array_equal(result.image, np.where(MASK[:, :, None], 255 - asked.image, asked.image))


def test_results_keep_the_order_of_the_requests() -> None:
    asked = [request("reject" if seed % 3 == 0 else "", seed) for seed in range(20)]
    results = local(max_batch_size=4).paint(asked)
    for seed, (result, one) in enumerate(zip(results, asked, strict=True)):
        assert result.rejected == "near constant" if seed % 3 == 0 else is_right(result, one)


def test_threads_share_batches_and_get_their_own_results() -> None:
    inpainter, found = local(max_batch_size=8), {}
    inpainter.paint([request()])

    def work(seed: int) -> None:
        asked = request("sleep 0.02", seed)
        found[seed] = is_right(inpainter.paint([asked])[0], asked)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(16), True)
    assert inpainter.stats()["mean_batch"] > 1


@pytest.mark.parametrize(
    ("prompt", "kind", "text"),
    [
        ("raise the lamp broke", InpaintError, "the engine failed: RuntimeError: the lamp broke"),
        ("value prompt='x' is too long", ValueError, "prompt='x' is too long"),
    ],
)
def test_an_engines_error_is_of_the_kind_that_the_shared_server_gives(prompt: str, kind: type, text: str) -> None:
    inpainter = local()
    with pytest.raises(kind, match=text):
        inpainter.paint([request(), request(prompt)])
    assert is_right(inpainter.paint([request(seed=3)])[0], request(seed=3))


def test_counters_are_those_of_this_process() -> None:
    inpainter = local()
    assert inpainter.stats()["requests"] == 0
    inpainter.paint([request(), request(seed=1)])
    stats = inpainter.stats()
    assert (stats["requests"], stats["batches"], stats["device"]) == (2, 1, "cpu")
    assert stats["resident_bytes"] > 1e6


def test_close_frees_and_use_loads_again() -> None:
    inpainter = local()
    assert inpainter.size == 16
    inpainter.close()
    assert inpainter._engine is None
    assert is_right(inpainter.paint([request()])[0], request())
