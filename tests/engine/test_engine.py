"""The engine against real diffusers pipelines with small random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pipelines
import pytest
import torch
from crop_requests import SIZE, STEPS, checkpoints, count_calls, difference, make, pixels, request
from diffusers.pipelines import auto_pipeline

from inpaint_transform.core.crops import align_mask
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.engine import Engine

# Inpainting classes of diffusers that no test here runs, by a part of their names, and why.
NOT_RUN = {
    "Chroma": "diffusers 0.42 breaks in it: its transformer has no guidance_embeds in its config",
    "QwenImageEdit": "always works on a megapixel, and wants a Qwen2-VL image processor: not tried",
    "IFInpainting": "a cascade in pixel space, without a VAE",
    "Kandinsky": "a combination of two pipelines, without a VAE of its own",
    "Control": "needs a control image",
    "PAG": "its plain class with another attention",
}
# Of the VAE that the pipeline takes; the others take a VAE of their own kind only.
LATENT_CHANNELS = {
    "StableDiffusionInpaintPipeline-9": 4,
    "StableDiffusionInpaintPipeline-4": 4,
    "StableDiffusionPipeline": 4,
    "StableDiffusionXLInpaintPipeline-9": 4,
    "StableDiffusionXLInpaintPipeline-4": 4,
    "StableDiffusion3InpaintPipeline": 16,
    "FluxInpaintPipeline": 16,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def sd(folder: Callable[[str], Path]) -> Engine:
    return make(folder("StableDiffusionInpaintPipeline-9"))


# Every pipeline class


@pytest.mark.parametrize("name", pipelines.SAVERS)
def test_paints_with_every_class(name: str, folder: Callable[[str], Path]) -> None:
    engine = make(folder(name), guidance_scale=3.0)
    requests = [request(seed, strength=strength) for seed, strength in enumerate([1.0, 0.6, 1.0])]
    together = engine.paint(requests)
    alone = [engine.paint([each])[0] for each in requests]
    for one, other in zip(together, alone, strict=True):
        assert difference(one, other) <= 1
    assert difference(together[0], together[2]) > 30
    assert engine.cell == pipelines.CELL


def test_every_class_that_diffusers_maps_is_run_or_explained() -> None:
    names = {cls.__name__ for cls in auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING.values()}
    run = {name.partition("-")[0] for name in pipelines.SAVERS}
    assert {name for name in names - run if not any(part in name for part in NOT_RUN)} == set()


def _noise(dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=dtype).float()


@pytest.mark.skipif(
    not torch.allclose(_noise(torch.float16), _noise(torch.float32), atol=0.01),
    reason="this torch draws other noise in half precision",
)
@pytest.mark.filterwarnings("ignore:.*upcast_vae")  # diffusers calls what it deprecated
@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline-9", "StableDiffusionXLInpaintPipeline-9"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_paints_nearly_the_same(name: str, dtype: str, folder: Callable[[str], Path]) -> None:
    requests = [request(), request(1, strength=0.6)]
    full = make(folder(name), guidance_scale=3.0).paint(requests)
    half = make(folder(name), guidance_scale=3.0, dtype=dtype)
    for one, other in zip(full, half.paint(requests), strict=True):
        assert np.abs(pixels(one) - pixels(other)).mean() < 2
    assert half._pipeline.vae.dtype == getattr(torch, dtype)


def test_a_class_with_its_own_sizes_names_the_size(tmp_path: Path) -> None:
    path = pipelines.save_flux_kontext(tmp_path)

    def square(size: int) -> InpaintRequest:
        mask = np.zeros((size, size), bool)
        mask[: size // 2, : size // 2] = True
        return InpaintRequest(np.zeros((size, size, 3), np.uint8), mask, "a thing")

    with pytest.raises(ValueError, match=r"size=64: a FluxKontextInpaintPipeline .*use size=1024"):
        make(path, size=64, steps=1).paint([square(64)])
    image = make(path, size=1024, steps=1).paint([square(1024)])[0].image
    assert image is not None
    assert image.shape == (1024, 1024, 3)


ORACLES = [(name, strength) for name in pipelines.SAVERS for strength in (1.0, 0.6)]


@pytest.mark.parametrize(("name", "strength"), ORACLES)
def test_equals_the_plain_pipeline(name: str, strength: float, folder: Callable[[str], Path], tmp_path: Path) -> None:
    """What the engine passes, the plain call gets from arrays and prompts.

    The intended difference: the engine takes the mode of the VAE's posterior where diffusers samples, which also
    moves the noise that is drawn after it. An AutoencoderTiny has no posterior, so here both must agree.
    """
    path = folder(name)
    fields: dict[str, Any] = {"guidance_scale": 3.0}
    if name in LATENT_CHANNELS:
        channels = LATENT_CHANNELS[name]
        shift = 0.25 if channels == 16 else 0.0
        vae = {"latent_channels": channels, "scaling_factor": 1.5, "shift_factor": shift}
        fields["vae"] = str(pipelines.save_autoencoder_tiny(tmp_path / "vae", **vae))
    requests = [request(seed, strength=strength, negative_prompt="bad") for seed in range(2)]
    sharper = name == "StableDiffusionXLInpaintPipeline-9" and strength == 1
    steps = fields["steps"] = 2 * STEPS if sharper else STEPS
    ours = make(path, **fields).paint(requests)

    unmapped = name in ("FluxFillPipeline", "Flux2KleinInpaintPipeline")
    loader = getattr(diffusers, name) if unmapped else diffusers.AutoPipelineForInpainting
    loaded = {"vae": diffusers.AutoencoderTiny.from_pretrained(fields["vae"])} if "vae" in fields else {}
    pipeline = loader.from_pretrained(path, **loaded)
    pipeline.set_progress_bar_config(disable=True)
    masks = np.stack([align_mask(each.mask, pipelines.CELL) for each in requests]).astype(np.float32)
    images = np.stack([each.image for each in requests]).astype(np.float32) / 255
    arguments: dict[str, Any] = {"guidance_scale": 3.0, "strength": strength}
    if name == "QwenImageInpaintPipeline":
        arguments = {"true_cfg_scale": 3.0, "strength": strength}
    if not name.startswith("Flux"):
        arguments["negative_prompt"] = ["bad", "bad"]
    if sharper:
        # Its own default, with nothing of the old object in the picture.
        arguments["strength"] = 0.9999
        images[masks > 0] = 0.5
    theirs = pipeline(
        prompt=[each.prompt for each in requests],
        image=images,
        mask_image=masks,
        height=SIZE,
        width=SIZE,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(each.seed) for each in requests],
        output_type="latent" if name == "StableDiffusion3InpaintPipeline" else "np",
        **arguments,
    ).images
    if name == "StableDiffusion3InpaintPipeline":
        # The pipeline itself decodes without the shift that it encodes with.
        with torch.no_grad():
            decoded = pipeline.vae.decode(theirs / 1.5 + 0.25).sample
        theirs = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    for result, their in zip(ours, theirs, strict=True):
        assert np.abs(pixels(result) - their * 255).max() <= 1


def test_the_mode_of_a_narrow_posterior_equals_the_plain_sample(folder: Callable[[str], Path]) -> None:
    """With the VAE of a checkpoint, at strength 1: the noise is drawn before the posterior is sampled."""
    path = folder("StableDiffusionInpaintPipeline-9")
    each = request()
    ours = make(path, guidance_scale=3.0).paint([each])[0]
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(path)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt=each.prompt,
        image=each.image[None].astype(np.float32) / 255,
        mask_image=align_mask(each.mask, pipelines.CELL)[None].astype(np.float32),
        height=SIZE,
        width=SIZE,
        guidance_scale=3.0,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(each.seed),
        output_type="np",
    ).images[0]
    assert np.abs(pixels(ours) - theirs * 255).max() <= 1


# Batches


def test_keeps_count_and_order_for_mixed_strengths(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"), max_batch_size=2)
    strengths = [1.0, 0.5, 1.0, 0.8, 0.5, 1.0, 0.51]
    requests = [request(seed, strength=strength) for seed, strength in enumerate(strengths)]
    results = engine.paint(requests)
    assert len(results) == len(requests)
    for each, result in zip(requests, results, strict=True):
        assert difference(result, engine.paint([each])[0]) <= 1


def test_an_empty_list_gives_an_empty_list(sd: Engine) -> None:
    assert sd.paint([]) == []


def test_strengths_that_run_the_same_steps_share_a_call(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"), guidance_scale=1.0)
    sizes = count_calls(engine._pipeline.unet)
    engine.paint([request(seed, strength=0.5 + seed / 100) for seed in range(1, 5)])
    assert sizes == [4, 4]


def test_never_exceeds_the_batch_size_and_skips_guidance_at_one(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"), max_batch_size=2, guidance_scale=1.0)
    sizes = count_calls(engine._pipeline.unet)
    engine.paint([request(seed) for seed in range(5)])
    assert sizes == [2] * STEPS + [2] * STEPS + [1] * STEPS


@pytest.mark.parametrize(
    ("name", "strength", "encoded"),
    [
        ("StableDiffusionInpaintPipeline-9", 1.0, [3]),
        ("StableDiffusionInpaintPipeline-9", 0.6, [3, 3]),
        ("StableDiffusionInpaintPipeline-4", 1.0, [3]),
        ("StableDiffusionXLInpaintPipeline-9", 1.0, [3]),
        ("StableDiffusion3InpaintPipeline", 0.6, [3]),
        ("FluxInpaintPipeline", 1.0, [3]),
    ],
)
def test_encodes_the_batch_at_once_and_nothing_in_vain(
    name: str, strength: float, encoded: list[int], folder: Callable[[str], Path]
) -> None:
    engine = make(folder(name))
    sizes = count_calls(engine._pipeline.vae.encoder)
    engine.paint([request(seed, strength=strength) for seed in range(3)])
    assert sizes == encoded


def test_reproducible_results_do_not_depend_on_the_neighbours(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"), max_batch_size=4, reproducible=True, guidance_scale=1.0)
    sizes = count_calls(engine._pipeline.unet)
    mine = request(7)
    alone = engine.paint([mine])[0]
    first = engine.paint([mine, request(1), request(2)])[0]
    last = engine.paint([request(3), request(4), request(5), mine])[3]
    second_call = engine.paint([request(seed) for seed in range(10, 15)] + [mine])[5]
    for other in (first, last, second_call):
        assert difference(alone, other) == 0
    assert set(sizes) == {4}


def test_a_full_device_halves_the_batch_and_remembers(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"), max_batch_size=8, guidance_scale=1.0)
    roomy = engine.paint([request(seed) for seed in range(6)])
    sizes = count_calls(engine._pipeline.unet)

    def out_of_memory(_: Any, args: Any) -> None:
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("no room")

    engine._pipeline.unet.register_forward_pre_hook(out_of_memory)
    results = engine.paint([request(seed) for seed in range(6)])
    for result, expected in zip(results, roomy, strict=True):
        assert difference(result, expected) <= 1
    assert sizes == [6, 3, *[1] * 6 * STEPS]
    sizes.clear()
    engine.paint([request(seed) for seed in range(2)])
    assert sizes == [1] * 2 * STEPS


def test_no_memory_for_a_single_crop_is_an_error_with_the_mend(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"))

    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    engine._pipeline.unet.register_forward_pre_hook(out_of_memory)
    with pytest.raises(InpaintError, match=r"size=32: cpu has too little memory.*smaller size"):
        engine.paint([request(), request(1)])


# Seeds and prompts


def test_different_seeds_and_prompts_paint_differently(sd: Engine) -> None:
    base, seed, prompt, negative = sd.paint(
        [
            request(),
            dataclasses.replace(request(), seed=1),
            dataclasses.replace(request(), prompt="other"),
            dataclasses.replace(request(), negative_prompt="other"),
        ]
    )
    assert difference(base, seed) > 30
    assert difference(base, prompt) > 0
    assert difference(base, negative) > 0


def test_the_global_random_generators_are_untouched(folder: Callable[[str], Path]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # the very stream that must not move
    engine = make(folder("StableDiffusionInpaintPipeline-9"), scheduler="EulerAncestralDiscreteScheduler")
    engine.paint([request(strength=0.6), request(1)])
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # see above


# What gets in and what does not


@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline-9", "StableDiffusionXLInpaintPipeline-9"])
def test_nothing_of_the_old_object_gets_in(name: str, folder: Callable[[str], Path]) -> None:
    engine = make(folder(name))
    old = request()
    swapped = old.image.copy()
    # Also the pixels that share a latent cell with the mask, since the mask grows to whole cells.
    swapped[align_mask(old.mask, engine.cell)] = 255
    outside = old.image.copy()
    outside[0, 0] = 255 - outside[0, 0]
    before, after, sanity = (
        engine.paint([dataclasses.replace(old, image=image)])[0] for image in (old.image, swapped, outside)
    )
    assert difference(before, after) == 0
    assert difference(before, sanity) > 0


@pytest.mark.parametrize(("steps", "run"), [(1, 1), (4, 4), (8, 7)])
def test_few_steps_all_run(steps: int, run: int, folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionXLInpaintPipeline-9"), steps=steps)
    calls = count_calls(engine._pipeline.unet)
    assert pixels(engine.paint([request()])[0]).std() > 1
    assert len(calls) == run


@pytest.mark.parametrize("flags", [True, False])
def test_flagged_crops_are_rejected_not_black(flags: bool, tmp_path: Path) -> None:
    pipelines.save_sd_inpaint(tmp_path, safety_checker=pipelines.safety_checker(flags))
    checked = make(tmp_path, safety_checker=True).paint([request(), request(1)])
    unchecked = make(tmp_path).paint([request(), request(1)])
    for result, plain in zip(checked, unchecked, strict=True):
        if flags:
            assert result == InpaintResult(None, "flagged by the safety checker")
        else:
            assert difference(result, plain) == 0


@pytest.mark.parametrize(
    ("edit", "reason"),
    [(lambda weight: weight * np.nan, "not finite"), (lambda weight: weight * 0, "near constant")],
)
def test_broken_output_is_rejected(edit: Callable[..., torch.Tensor], reason: str, tmp_path: Path) -> None:
    pipelines.save_sd_inpaint(tmp_path)
    pipelines.edit_weights(tmp_path / "vae", "decoder.conv_out.weight", edit)
    assert make(tmp_path).paint([request(), request(1)]) == [InpaintResult(None, reason)] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((16, 16, 3), np.uint8)}, r"image of shape \(16, 16, 3\).*\(32, 32, 3\)"),
        ({"image": np.zeros((SIZE, SIZE, 3), np.float32)}, "dtype float32"),
        ({"mask": np.zeros((SIZE, SIZE), np.uint8)}, "mask of shape .* uint8.*bool"),
        ({"mask": np.zeros((SIZE, SIZE), bool)}, "mask is False everywhere"),
        ({"strength": 0.0}, r"strength=0.0: use a number in \(0, 1\]"),
        ({"strength": 1.5}, r"strength=1.5: use a number in \(0, 1\]"),
        ({"strength": float("nan")}, "strength=nan"),
        ({"strength": 0.2}, r"strength=0.2 with steps=4 leaves no denoising step.*at least 0.25"),
        ({"prompt": "word " * 40}, r"prompt='word .*has \d+ tokens, but the model reads 77"),
        ({"negative_prompt": "word " * 40}, "negative_prompt='word "),
    ],
)
def test_bad_requests_are_named_before_anything_is_painted(change: dict[str, Any], message: str, sd: Engine) -> None:
    bad = dataclasses.replace(request(), **change)
    with pytest.raises(ValueError, match=message):
        sd.check(bad)
    sizes = count_calls(sd._pipeline.unet)
    with pytest.raises(ValueError, match=message):
        sd.paint([request(), bad])
    assert sizes == []


def test_a_closed_engine_says_so(folder: Callable[[str], Path]) -> None:
    engine = make(folder("StableDiffusionInpaintPipeline-9"))
    engine.close()
    engine.close()
    with pytest.raises(InpaintError, match="closed"):
        engine.paint([request()])


# What a spec changes


def test_size_defaults_to_the_checkpoint(folder: Callable[[str], Path]) -> None:
    assert make(folder("StableDiffusionInpaintPipeline-9"), size=None).size == SIZE


@pytest.mark.parametrize(
    ("field", "save"),
    [
        ("vae", pipelines.save_autoencoder_tiny),
        ("vae", pipelines.save_autoencoder_asymmetric),
        ("lora", pipelines.save_sd_lora),
        ("scheduler", None),
        ("guidance_scale", None),
    ],
)
@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline-9", "StableDiffusionInpaintPipeline-4"])
def test_parts_of_the_spec_change_the_picture(
    field: str, save: Callable[[Path], Path] | None, name: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    value: Any = {"scheduler": "LCMScheduler", "guidance_scale": 9.0}.get(field)
    if save is not None:
        value = str(save(tmp_path / "part"))
    path = folder(name)
    requests = [request(), request(1, strength=0.6)]
    for plain, changed in zip(make(path).paint(requests), make(path, **{field: value}).paint(requests), strict=True):
        assert difference(plain, changed) > 1
