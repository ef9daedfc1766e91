"""References without an adapter: FLUX.2 Klein sees them, and other models say that they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pipelines
import pytest
import torch
from crop_requests import SIZE, checkpoints, difference, make, request

from inpaint_transform.core.protocol import REFERENCE_SIDE
from inpaint_transform.engine import Engine

# In blocks of as many pixels as stand for one of the working crop.
BLOCK = REFERENCE_SIDE // SIZE
PICTURES = [
    np.random.default_rng(seed).integers(0, 2, (SIZE, SIZE, 3), np.uint8).repeat(BLOCK, 0).repeat(BLOCK, 1) * 255
    for seed in (1, 2)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def klein(folder: Callable[[str], Path]) -> Engine:
    engine = make(folder("Flux2KleinInpaintPipeline"), guidance_scale=1.0)
    for name, weights in engine._pipeline.transformer.named_parameters():
        if ".attn." in name:
            weights.data.mul_(4)  # as new, a patch hardly looks at any other
    return engine


def test_klein_paints_after_the_reference(klein: Engine) -> None:
    asked = [request(0, reference=picture) for picture in PICTURES]
    one, other = klein.paint(asked)
    assert difference(one, other) > 3
    for seed, expected in ((0, one), (1, other)):
        assert difference(klein.paint([asked[seed]])[0], expected) <= 1
    plain = klein.paint([request(0)])[0]
    assert difference(plain, one) > 3
    mixed = klein.paint([request(0), asked[0], request(0), asked[1]])
    for result, expected in zip(mixed, (plain, one, plain, other), strict=True):
        assert difference(result, expected) <= 1


def test_klein_gets_what_its_own_encoder_would_make(klein: Engine) -> None:
    """The latents that are kept stand for the picture itself."""
    pipeline = klein._pipeline
    [latents] = klein._references.arguments([PICTURES[0]]).values()
    mean = pipeline.vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = torch.sqrt(pipeline.vae.bn.running_var.view(1, -1, 1, 1) + pipeline.vae.config.batch_norm_eps)
    image = torch.from_numpy(PICTURES[0][::BLOCK, ::BLOCK].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = pipeline._encode_vae_image(image, None)
    torch.testing.assert_close((latents - mean) / deviation, expected, atol=1e-4, rtol=1e-4)


def test_a_picture_is_encoded_once(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(folder("Flux2KleinInpaintPipeline"))
    sizes: list[int] = []
    plain = engine._pipeline.vae.encode

    def encode(image: torch.Tensor, *rest: object) -> object:
        sizes.append(len(image))
        return plain(image, *rest)

    monkeypatch.setattr(engine._pipeline.vae, "encode", encode)
    for _ in range(2):
        engine.paint([request(seed, reference=PICTURES[seed % 2]) for seed in range(4)])
    assert sizes == [1, 1, 4, 4], "two references, and a batch of crops for each call"


@pytest.mark.parametrize(
    "name", [name for name in pipelines.SAVERS if name not in ("Flux2KleinInpaintPipeline", "FluxFillPipeline")]
)
def test_a_model_that_sees_none_says_so(name: str, folder: Callable[[str], Path]) -> None:
    engine = make(folder(name))
    with pytest.raises(ValueError, match=r"^reference: a \w+ sees the prompt only.*ip_adapter=.*flux2-klein"):
        engine.paint([request(0, reference=PICTURES[0])])


def test_another_form_is_named(klein: Engine) -> None:
    for wrong in (PICTURES[0][:100], PICTURES[0].astype(np.float32)):
        with pytest.raises(ValueError, match=r"^reference of shape .* use uint8 of \(512, 512, 3\)"):
            klein.paint([request(0, reference=wrong)])
