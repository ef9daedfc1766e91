"""The ways to repaint boxes that ``benchmarks.peers`` compares, all with the embedded ``tiny`` model."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import albumentations as A
import numpy as np
import torch
from PIL import Image

from inpaint_transform import BBoxInpaint
from inpaint_transform.batch import ConcurrentDataset
from inpaint_transform.core import crops
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.serving.registry import connect

T = TypeVar("T")
SPEC = ModelSpec("tiny", device="cpu")
LOCAL, SHARED = (dataclasses.replace(SPEC, serving=serving) for serving in ("local", "shared"))
PROMPT = "a red blood cell"
# Of the ways that paint several samples in one call.
BATCH = 8

KORNIA = (
    "imitated: kornia 0.9.0 names the checkpoints itself (SD 1.4, SD 1.5 and SDXL by hub id) and calls the UNet with 4 "
    "channels, the embedded one has 9. What it does with a batch is done here with the embedded parts: whole images, "
    "squashed to the model's size, one encode, one UNet call with the empty prompt, one decode, no box and no mask; "
    "the missing channels are an empty mask and the image's own latents"
)


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture and the one box to repaint in it."""

    image: np.ndarray
    box: tuple[int, int, int, int]


Paint = Callable[[Sequence[Sample]], list[np.ndarray]]


@dataclass(frozen=True)
class Way:
    """One way to paint.

    Attributes:
        make: Loads what a process needs.
        batch: How many samples it paints in one call, and needs to warm up.
        processes: How many processes paint at the same time.
        shared: Whether a server paints for them.
        note: What to know about it.
    """

    make: Callable[[], Paint]
    batch: int = 1
    processes: int = 1
    shared: bool = False
    note: str | None = None


@functools.cache
def pipeline() -> Any:
    """The pipeline as diffusers loads it, once in a process."""
    import diffusers  # not above: it would be in the memory of workers that do without

    loaded = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
        SPEC.resolved().id, torch_dtype=torch.float32, local_files_only=True
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


def settings() -> dict[str, Any]:
    """What all diffusers calls have in common."""
    spec = SPEC.resolved()
    return {
        "height": spec.size,
        "width": spec.size,
        "num_inference_steps": spec.steps,
        "guidance_scale": spec.guidance_scale,
        "strength": 1.0,
    }


def working_size() -> int:
    """Side of the square that the model sees."""
    return SPEC.resolved().size or 64


def white_box(sample: Sample) -> Image.Image:
    """The mask of the whole picture."""
    mask = np.zeros(sample.image.shape[:2], np.uint8)
    x0, y0, x1, y1 = sample.box
    mask[y0:y1, x0:x1] = 255
    return Image.fromarray(mask)


def one_by_one(paint: Callable[[Sample, torch.Generator], np.ndarray]) -> Paint:
    """Paint the samples one after the other, each with noise of its own."""
    return lambda batch: [paint(sample, torch.Generator().manual_seed(seed)) for seed, sample in enumerate(batch)]


def notebook() -> Paint:
    """The plain call: the whole picture squashed to the model's size and stretched back."""
    pipe, common, size = pipeline(), settings(), (working_size(), working_size())

    def paint(sample: Sample, generator: torch.Generator) -> np.ndarray:
        whole = Image.fromarray(sample.image)
        image, mask = whole.resize(size), white_box(sample).resize(size)
        [result] = pipe(prompt=PROMPT, image=image, mask_image=mask, generator=generator, **common).images
        return np.asarray(result.resize(whole.size))

    return one_by_one(paint)


def padding_crop() -> Paint:
    """The plain call with diffusers' own crop around the box, as much context as the transform takes."""
    pipe, common = pipeline(), settings()

    def paint(sample: Sample, generator: torch.Generator) -> np.ndarray:
        x0, y0, x1, y1 = sample.box
        [result] = pipe(
            prompt=PROMPT,
            image=Image.fromarray(sample.image),
            mask_image=white_box(sample),
            padding_mask_crop=max(x1 - x0, y1 - y0) // 2,
            generator=generator,
            **common,
        ).images
        return np.asarray(result)

    return one_by_one(paint)


def dissolving() -> Paint:
    """What ``kornia.augmentation.RandomDissolving`` does with a batch; see ``KORNIA``."""
    pipe, size = pipeline(), (working_size(), working_size())
    vae, scale = pipe.vae, pipe.vae.config.scaling_factor
    # It plans 1000 steps and takes one of them: here the 500th.
    timestep = 500
    alpha = pipe.scheduler.alphas_cumprod[timestep]

    @torch.no_grad()
    def dissolve(part: Sequence[Sample]) -> np.ndarray:
        squashed = np.stack([np.asarray(Image.fromarray(sample.image).resize(size)) for sample in part])
        images = torch.from_numpy(squashed).permute(0, 3, 1, 2).float() / 255
        text, _ = pipe.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
        latents = vae.encode(images * 2 - 1).latent_dist.sample() * scale
        seen = torch.cat([latents, torch.zeros_like(latents[:, :1]), latents], 1)
        noise = pipe.unet(seen, timestep, text.repeat(len(part), 1, 1)).sample
        clean = latents / alpha.sqrt() - (1 / alpha - 1).sqrt() * noise
        levels = (vae.decode(clean / scale).sample / 2 + 0.5).clamp(0, 1) * 255
        return levels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted: list[np.ndarray] = []
        for part in parts(batch, BATCH):
            for sample, image in zip(part, dissolve(part), strict=True):
                height, width = sample.image.shape[:2]
                painted.append(np.asarray(Image.fromarray(image).resize((width, height))))
        return painted

    return paint


def telea() -> Paint:
    """The classical floor: OpenCV fills a hole as large as the box, wherever the draw puts it."""

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted = []
        for sample in batch:
            x0, y0, x1, y1 = sample.box
            transform = A.CoarseDropout((1, 1), (y1 - y0, y1 - y0), (x1 - x0, x1 - x0), fill="inpaint_telea", p=1)
            painted.append(transform(image=sample.image)["image"])
        return painted

    return paint


@functools.cache
def working_crop(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The crop and the mask that the transform makes of a sample, as floats."""
    size = working_size()
    [edit] = plan(Recipe(prompts=PROMPT), Scene(*sample.image.shape[:2], [sample.box]), random.Random(0))
    image = crops.crop(sample.image, edit.window, size).astype(np.float32) / 255
    mask = crops.align_mask(crops.crop_mask(edit.mask("box"), size), 4).astype(np.float32)
    return image, mask


def bare(size: int) -> Paint:
    """The pipeline alone, ``size`` crops a call; crops and masks lie ready. What it gives is crops, not pictures."""
    pipe, common = pipeline(), settings()

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        for part in parts(batch, size):
            images, masks = zip(*map(working_crop, part), strict=True)
            pipe(
                prompt=[PROMPT] * len(part),
                image=np.stack(images),
                mask_image=np.stack(masks),
                generator=[torch.Generator().manual_seed(seed) for seed in range(len(part))],
                output_type="np",
                **common,
            )
        return []

    return paint


def parts(batch: Sequence[T], size: int) -> list[Sequence[T]]:
    """The batch in parts of ``size``."""
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def compose(spec: ModelSpec, p: float = 1.0) -> A.Compose:
    """The transform as a user has it."""
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
    return A.Compose([BBoxInpaint(spec, prompts=PROMPT, p=p)], bbox_params=boxes)


class Dataset(torch.utils.data.Dataset[np.ndarray]):
    """Samples through the transform."""

    def __init__(self, spec: ModelSpec, p: float = 1.0) -> None:
        self.transform = compose(spec, p)
        self.samples: list[Sample] = []

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> np.ndarray:
        sample = self.samples[index]
        return self.transform(image=sample.image, bboxes=[sample.box], labels=["cell"])["image"]


def per_sample(spec: ModelSpec, p: float = 1.0) -> Paint:
    """The transform, sample by sample."""
    dataset = Dataset(spec, p)

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        dataset.samples = [*batch]
        return [dataset[index] for index in range(len(batch))]

    return paint


def concurrent(spec: ModelSpec) -> Paint:
    """The transform under ``ConcurrentDataset``, as a DataLoader asks it for mini-batches."""
    dataset = Dataset(spec)
    wrapped = ConcurrentDataset(dataset)

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        dataset.samples[:] = batch  # in place: the wrapper's copies of the data set share the list
        return [image for part in parts(range(len(batch)), BATCH) for image in wrapped.__getitems__(part)]

    return paint


def batched() -> Paint:
    """``paint_all``, which is what ``BatchInpaint`` and the torchvision face call."""
    inpainter = connect(LOCAL)
    recipe, rng = Recipe(prompts=PROMPT), random.Random(0)

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted: list[np.ndarray] = []
        for part in parts(batch, BATCH):
            edits = [plan(recipe, Scene(*s.image.shape[:2], [s.box]), rng) for s in part]
            painted += paint_all(recipe, [s.image for s in part], edits, inpainter)[0]
        return painted

    return paint


# Ways whose ratio is asked for stand side by side: they are measured right after each other.
WAYS = {
    "a: plain call, squashed picture": Way(notebook),
    "b: plain call, padding_mask_crop": Way(padding_crop),
    "bare pipeline, batch 1": Way(functools.partial(bare, 1)),
    "f: ours, per sample": Way(functools.partial(per_sample, LOCAL)),
    "bare pipeline, batch 8": Way(functools.partial(bare, 8), 8),
    "f: ours, batch of 8": Way(batched, BATCH),
    "f: ours, ConcurrentDataset": Way(functools.partial(concurrent, LOCAL), BATCH),
    "f: ours, shared, 4 workers": Way(functools.partial(per_sample, SHARED), processes=4, shared=True),
    "f: ours, shared, 4 workers, ConcurrentDataset": Way(functools.partial(concurrent, SHARED), BATCH, 4, True),
    "bare pipeline, batch 2": Way(functools.partial(bare, 2), 2),
    "bare pipeline, batch 4": Way(functools.partial(bare, 4), 4),
    "bare pipeline, batch 16": Way(functools.partial(bare, 16), 16),
    "c: a pipeline each, 2 workers": Way(functools.partial(per_sample, LOCAL), processes=2),
    "c: a pipeline each, 4 workers": Way(functools.partial(per_sample, LOCAL), processes=4),
    "d: kornia RandomDissolving": Way(dissolving, BATCH, note=KORNIA),
    "e: CoarseDropout inpaint_telea": Way(telea, note="fills a hole of the box's size at a random place"),
}
# What four workers take that do not paint.
IDLE = Way(functools.partial(per_sample, LOCAL, 0.0), processes=4)
