"""Every way to repaint boxes, side by side: ``python -m benchmarks.peers``.

All ways paint the same boxes of the same pictures with the embedded ``tiny`` model in the same number of steps. Each
lives in processes of its own, which wait while another way works; the ways take turns round by round, so that whatever
else the machine does hits all alike. Memory is taken before, with one way alive at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import multiprocessing
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks import report
from inpaint_transform import BBoxInpaint, core, crops
from inpaint_transform.annotations import read_image
from inpaint_transform.batch import ConcurrentDataset
from inpaint_transform.bench import samples
from inpaint_transform.bench.memory import pss_mib
from inpaint_transform.inpainter import connect, shutdown
from inpaint_transform.inpainter.engines import ENGINE_VARIABLE
from inpaint_transform.messages import InpaintRequest, InpaintResult
from inpaint_transform.models import ModelSpec

SPEC = ModelSpec("tiny", device="cpu")
PROMPT = "a red blood cell"
COMPOSE_BOXES = A.BboxParams("pascal_voc", label_fields=["labels"])
fork = multiprocessing.get_context("fork")

KORNIA = (
    "imitated: kornia 0.9.0 names the checkpoints itself (SD 1.4, SD 1.5 and SDXL by hub id) and calls the UNet with 4 "
    "channels, the embedded one has 9. What it does with a batch is done here with the embedded parts: whole "
    "images, one encode, one UNet call with the empty prompt, one decode, no box and no mask; the missing channels are "
    "an empty mask and the image's own latents"
)


@dataclass(frozen=True)
class Sample:
    """One picture and the one box to repaint in it."""

    image: np.ndarray
    box: tuple[int, int, int, int]


Paint = Callable[[Sequence[Sample]], list[np.ndarray]]


def read_samples(pictures: Sequence[samples.Picture], count: int) -> list[Sample]:
    """The first boxes that the transform would paint, one a sample."""
    images = [read_image(picture.file) for picture in pictures]
    found = []
    for number in range(count):
        index = number % len(pictures)
        edits: list[core.Edit] = []
        for seed in range(number, number + 100):
            if edits := samples.edits_of(pictures[index], seed):
                break
        found += [Sample(images[index], edit.box) for edit in edits[:1]]
    return found


def pipeline() -> Any:
    """The pipeline as diffusers loads it."""
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


def white_box(sample: Sample) -> Image.Image:
    """The mask of the whole picture."""
    mask = np.zeros(sample.image.shape[:2], np.uint8)
    x0, y0, x1, y1 = sample.box
    mask[y0:y1, x0:x1] = 255
    return Image.fromarray(mask)


def notebook() -> Paint:
    """The plain call in a loop: the whole picture squashed to the model's size and stretched back."""
    pipe, common = pipeline(), settings()
    size = (common["width"], common["height"])

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted = []
        for number, sample in enumerate(batch):
            image, mask = Image.fromarray(sample.image).resize(size), white_box(sample).resize(size)
            generator = torch.Generator().manual_seed(number)
            [result] = pipe(prompt=PROMPT, image=image, mask_image=mask, generator=generator, **common).images
            painted.append(np.asarray(result.resize((sample.image.shape[1], sample.image.shape[0]))))
        return painted

    return paint


def padding_crop() -> Paint:
    """The plain call with diffusers' own crop around the box, as much context as the transform takes."""
    pipe, common = pipeline(), settings()

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted = []
        for number, sample in enumerate(batch):
            x0, y0, x1, y1 = sample.box
            [result] = pipe(
                prompt=PROMPT,
                image=Image.fromarray(sample.image),
                mask_image=white_box(sample),
                padding_mask_crop=max(x1 - x0, y1 - y0) // 2,
                generator=torch.Generator().manual_seed(number),
                **common,
            ).images
            painted.append(np.asarray(result))
        return painted

    return paint


def dissolving() -> Paint:
    """What ``kornia.augmentation.RandomDissolving`` does with a batch; see ``KORNIA``."""
    pipe = pipeline()
    vae, scale = pipe.vae, pipe.vae.config.scaling_factor
    # It plans 1000 steps and takes one of them: here the 500th.
    timestep = 500
    alpha = pipe.scheduler.alphas_cumprod[timestep]

    @torch.no_grad()
    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        images = torch.from_numpy(np.stack([sample.image for sample in batch])).permute(0, 3, 1, 2).float() / 255
        text, _ = pipe.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
        latents = vae.encode(images * 2 - 1).latent_dist.sample() * scale
        seen = torch.cat([latents, torch.zeros_like(latents[:, :1]), latents], 1)
        noise = pipe.unet(seen, timestep, text.repeat(len(batch), 1, 1)).sample
        clean = latents / alpha.sqrt() - (1 / alpha - 1).sqrt() * noise
        levels = (vae.decode(clean / scale).sample / 2 + 0.5).clamp(0, 1) * 255
        return list(levels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())

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


def working_crops(batch: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """The crops and masks that the transform makes, as floats."""
    size = SPEC.resolved().size or 64
    images, masks = [], []
    for sample in batch:
        [edit] = core.plan(core.Recipe(prompts=PROMPT), *sample.image.shape[:2], [sample.box], [None], random.Random(0))
        images.append(crops.crop(sample.image, edit.window, size).astype(np.float32) / 255)
        masks.append(crops.align_mask(crops.crop_mask(edit.mask("box"), size), 4).astype(np.float32))
    return np.stack(images), np.stack(masks)


def bare(size: int) -> Paint:
    """The pipeline alone, ``size`` crops a call; crops and masks lie ready. What it gives is crops, not pictures."""
    pipe, common = pipeline(), settings()
    ready: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        if len(batch) not in ready:
            ready[len(batch)] = working_crops(batch)
        images, masks = ready[len(batch)]
        for start in range(0, len(batch), size):
            part = slice(start, start + size)
            generators = [torch.Generator().manual_seed(seed) for seed in range(len(batch))[part]]
            pipe(
                prompt=[PROMPT] * len(generators),
                image=images[part],
                mask_image=masks[part],
                generator=generators,
                output_type="np",
                **common,
            )
        return []

    return paint


def compose(spec: ModelSpec, p: float = 1.0) -> A.Compose:
    """The transform as a user has it."""
    return A.Compose([BBoxInpaint(spec, prompts=PROMPT, p=p)], bbox_params=COMPOSE_BOXES)


def per_sample(serving: str, p: float = 1.0) -> Paint:
    """The transform, sample by sample."""
    transform = compose(dataclasses.replace(SPEC, serving=serving), p)

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        return [transform(image=s.image, bboxes=[s.box], labels=["cell"])["image"] for s in batch]

    return paint


class Dataset(torch.utils.data.Dataset):
    """Samples through the transform."""

    def __init__(self, transform: A.Compose) -> None:
        self.transform = transform
        self.samples: Sequence[Sample] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> np.ndarray:
        sample = self.samples[index]
        return self.transform(image=sample.image, bboxes=[sample.box], labels=["cell"])["image"]


def concurrent(serving: str) -> Paint:
    """The transform under ``ConcurrentDataset``, mini-batches of 8."""
    dataset = Dataset(compose(dataclasses.replace(SPEC, serving=serving)))
    wrapped = ConcurrentDataset(dataset)
    at_hand: list[Sample] = []
    dataset.samples = at_hand  # the same list for every copy that the wrapper makes

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        at_hand[:] = batch
        painted: list[np.ndarray] = []
        for start in range(0, len(batch), 8):
            painted += wrapped.__getitems__(range(start, min(start + 8, len(batch))))
        return painted

    return paint


def batched() -> Paint:
    """``core.paint_all``, which is what ``BatchInpaint`` and the torchvision face call, 8 samples a call."""
    inpainter = connect(dataclasses.replace(SPEC, serving="local"))
    recipe, rng = core.Recipe(prompts=PROMPT), random.Random(0)

    def paint(batch: Sequence[Sample]) -> list[np.ndarray]:
        painted: list[np.ndarray] = []
        for start in range(0, len(batch), 8):
            part = batch[start : start + 8]
            edits = [core.plan(recipe, *s.image.shape[:2], [s.box], [None], rng) for s in part]
            painted += core.paint_all(recipe, [s.image for s in part], edits, inpainter)[0]
        return painted

    return paint


@dataclass(frozen=True)
class Way:
    """One way to paint: what each of its processes does, and what to know about it."""

    make: Callable[[], Paint]
    processes: int = 1
    shared: bool = False
    note: str | None = None


BARE = {f"bare pipeline, batch {size}": Way(functools.partial(bare, size)) for size in (1, 2, 4, 8, 16)}
WAYS = {
    "a: plain call, squashed picture": Way(notebook),
    "b: plain call, padding_mask_crop": Way(padding_crop),
    "c: a pipeline each, 2 workers": Way(functools.partial(per_sample, "local"), 2),
    "c: a pipeline each, 4 workers": Way(functools.partial(per_sample, "local"), 4),
    "d: kornia RandomDissolving": Way(dissolving, note=KORNIA),
    "e: CoarseDropout inpaint_telea": Way(telea, note="fills a hole of the box's size at a random place"),
    "f: ours, per sample": Way(functools.partial(per_sample, "local")),
    "f: ours, batch of 8": Way(batched),
    "f: ours, ConcurrentDataset": Way(functools.partial(concurrent, "local")),
    "f: ours, shared, 4 workers": Way(functools.partial(per_sample, "shared"), 4, True),
    "f: ours, shared, 4 workers, ConcurrentDataset": Way(functools.partial(concurrent, "shared"), 4, True),
    **BARE,
}
IDLE = Way(functools.partial(per_sample, "local", 0.0), 4)
QUICK = [
    "a: plain call, squashed picture",
    "b: plain call, padding_mask_crop",
    "d: kornia RandomDissolving",
    "e: CoarseDropout inpaint_telea",
    "f: ours, per sample",
    "f: ours, batch of 8",
    "f: ours, shared, 4 workers",
    "bare pipeline, batch 1",
    "bare pipeline, batch 8",
]


def serve(connection: Connection, way: Way, batch: Sequence[Sample]) -> None:
    """What a way's process does: paint its share of the samples whenever it is asked to."""
    parent = os.getppid()
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // way.processes)))
    cv2.setNumThreads(0)
    paint = way.make()
    while True:
        # Crews forked later hold this pipe too, so its end does not tell that the parent died.
        while not connection.poll(5):
            if os.getppid() != parent:
                return
        if (question := connection.recv()) is None:
            return
        painted = paint(batch)
        pictures = [sample.image.shape for sample in batch] == [image.shape for image in painted]
        changes = map(change_outside, batch, painted) if question == "change" and pictures else ()
        connection.send(max(changes, default=None))


def change_outside(sample: Sample, painted: np.ndarray) -> int:
    """The largest change outside the box, in grey levels."""
    difference = cv2.absdiff(sample.image, painted)
    x0, y0, x1, y1 = sample.box
    difference[y0:y1, x0:x1] = 0
    return int(difference.max())


class Crew:
    """The processes of a way, started and waiting.

    Args:
        way: The way.
        batch: The samples, dealt to the processes in turn.
    """

    def __init__(self, way: Way, batch: Sequence[Sample]) -> None:
        self.images = len(batch)
        self._way = way
        self._connections, self._processes = [], []
        for number in range(way.processes):
            ours, theirs = fork.Pipe()
            process = fork.Process(target=serve, args=(theirs, way, batch[number :: way.processes]), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def paint(self, question: str = "paint") -> list[int | None]:
        """Have all samples painted; each process's answer.

        Raises:
            EOFError: A process died; what it said is on stderr.
        """
        for connection in self._connections:
            connection.send(question)
        return [connection.recv() for connection in self._connections]

    def host_mib(self) -> float | None:
        """Memory of the main process, the way's processes and the server."""
        pids = [os.getpid(), *(process.pid for process in self._processes if process.pid is not None)]
        if self._way.shared:
            pids.append(int(connect(dataclasses.replace(SPEC, serving="shared")).stats()["pid"]))
        return pss_mib(pids)

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.send(None)
            connection.close()
        for process in self._processes:
            process.join(10)
            process.terminate()  # where it did not end


@contextlib.contextmanager
def crew_of(way: Way, batch: Sequence[Sample]) -> Iterator[Crew]:
    """A crew that ends with the block."""
    crew = Crew(way, batch)
    try:
        yield crew
    finally:
        crew.close()


def memory(ways: dict[str, Way], batch: Sequence[Sample]) -> tuple[dict[str, float | None], dict[str, int | None]]:
    """Host memory in MiB, and the largest change outside the boxes, of each way alone."""
    host: dict[str, float | None] = {"main process": pss_mib([os.getpid()])}
    changes: dict[str, int | None] = {}
    for name, way in {**ways, "4 workers that never paint": IDLE}.items():
        with crew_of(way, batch) as crew:
            known = [answer for answer in crew.paint("change") if answer is not None]
            changes[name] = max(known, default=None)
            host[name] = crew.host_mib()
        shutdown()
    return host, changes


def race(ways: dict[str, Way], batch: Sequence[Sample], rounds: int) -> dict[str, list[float]]:
    """Images a second of each way in each round."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with contextlib.ExitStack() as stack:
        stack.callback(shutdown)
        crews = {name: stack.enter_context(crew_of(way, batch)) for name, way in ways.items()}
        for number in range(rounds + 1):
            # Another order each round: none always follows the same one.
            for name in random.Random(number).sample(list(crews), len(crews)):
                start = time.perf_counter()
                crews[name].paint()
                if number:  # the first round loads and warms up
                    rates[name].append(len(batch) / (time.perf_counter() - start))
    return rates


@contextlib.contextmanager
def clocked(parts: dict[str, tuple[type, str]]) -> Iterator[Counter[str]]:
    """Seconds spent in some methods of the pipeline's parts while the block runs."""
    spent: Counter[str] = Counter()

    def wrap(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*arguments, **keywords)
            finally:
                spent[name] += time.perf_counter() - start

        return wrapped

    old = {name: getattr(owner, method) for name, (owner, method) in parts.items()}
    for name, (owner, method) in parts.items():
        setattr(owner, method, wrap(name, old[name]))
    try:
        yield spent
    finally:
        for name, (owner, method) in parts.items():
            setattr(owner, method, old[name])


PARTS = {
    "unet": (diffusers.UNet2DConditionModel, "forward"),
    "vae_encode": (diffusers.AutoencoderKL, "encode"),
    "vae_decode": (diffusers.AutoencoderKL, "decode"),
    "text": (transformers.CLIPTextModel, "forward"),
}
PROFILED = [
    "a: plain call, squashed picture",
    "b: plain call, padding_mask_crop",
    "bare pipeline, batch 1",
    "f: ours, per sample",
    "bare pipeline, batch 8",
    "f: ours, batch of 8",
]


def profile(batch: Sequence[Sample], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds an image that each way spends in the model's parts and beside them, best round."""
    makes = {name: WAYS[name].make() for name in PROFILED}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in makes}
    for number in range(rounds + 1):
        for name, paint in makes.items():
            with clocked(PARTS) as spent:
                start = time.perf_counter()
                paint(batch)
                total = time.perf_counter() - start
            row = {part: spent[part] for part in PARTS}
            row.update(handling=total - sum(row.values()), total=total)
            if number:
                found[name].append({part: round(value * 1e3 / len(batch), 3) for part, value in row.items()})
    return {name: min(rows, key=lambda row: row["total"]) for name, rows in found.items()}


class Negative:
    """An engine that costs next to nothing and whose pictures pass every check."""

    size = 512
    cell = 8

    def __init__(self, spec: ModelSpec) -> None:
        del spec

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """The negatives."""
        return [InpaintResult(255 - request.image) for request in requests]

    def close(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def without_pipeline() -> Iterator[ModelSpec]:
    """A spec whose pipeline, in this process, is ``Negative``."""
    before = os.environ.get(ENGINE_VARIABLE)
    os.environ[ENGINE_VARIABLE] = "benchmarks.peers:Negative"
    try:
        yield ModelSpec("negative", device="cpu", serving="local")
    finally:
        if before is None:
            del os.environ[ENGINE_VARIABLE]
        else:
            os.environ[ENGINE_VARIABLE] = before


def large_picture(rounds: int) -> dict[str, float]:
    """A 12-megapixel picture with one 300x300 box, fired, in milliseconds without the pipeline."""
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    times, copies = [], []
    with without_pipeline() as spec:
        transform = compose(spec)
        for number in range(rounds + 1):
            start = time.perf_counter()
            transform(image=image, bboxes=[(1800, 1300, 2100, 1600)], labels=["cell"])
            middle = time.perf_counter()
            image.copy()
            if number:
                times.append(middle - start)
                copies.append(time.perf_counter() - middle)
    return {
        "median_ms": round(statistics.median(times) * 1e3, 3),
        "best_ms": round(min(times) * 1e3, 3),
        "one_copy_ms": round(statistics.median(copies) * 1e3, 3),
        "rounds": rounds,
    }


def ratio(rates: dict[str, list[float]], ours: str, other: str) -> float | None:
    """The median of the ratios round by round."""
    if ours not in rates or other not in rates:
        return None
    return round(statistics.median(a / b for a, b in zip(rates[ours], rates[other], strict=True)), 4)


def at_least(found: float | None, target: float) -> dict[str, Any]:
    """A ratio with what it must reach."""
    return {"found": found, "at_least": target, "met": None if found is None else found >= target}


def at_most(found: float | None, target: float) -> dict[str, Any]:
    """A value with what it must not pass."""
    return {"found": found, "at_most": target, "met": None if found is None else found <= target}


def targets(
    rates: dict[str, list[float]], host: dict[str, float | None], large: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """What was asked for, what was found, and whether that is enough."""
    best = max((name for name in BARE if name in rates), key=lambda name: statistics.median(rates[name]))
    ours = max(
        (
            name
            for name in ("f: ours, per sample", "f: ours, batch of 8", "f: ours, ConcurrentDataset")
            if name in rates
        ),
        key=lambda name: statistics.median(rates[name]),
    )
    parts = [
        host.get(name)
        for name in (
            "f: ours, shared, 4 workers",
            "4 workers that never paint",
            "bare pipeline, batch 1",
            "main process",
        )
    ]
    share = None
    if all(part is not None for part in parts):
        shared, idle, one, main_process = (part or 0.0 for part in parts)
        share = round(shared / (idle + one - main_process), 4)
    return {
        "fired per sample / bare at batch 1": at_least(
            ratio(rates, "f: ours, per sample", "bare pipeline, batch 1"), 0.95
        ),
        "batch of 8 / bare at batch 8": at_least(ratio(rates, "f: ours, batch of 8", "bare pipeline, batch 8"), 0.95),
        "ours / plain call, squashed picture": {
            "way": ours,
            **at_least(ratio(rates, ours, "a: plain call, squashed picture"), 2.0),
        },
        "shared by 4 workers / bare at its best batch": {
            "way": best,
            **at_least(ratio(rates, "f: ours, shared, 4 workers", best), 0.9),
        },
        "shared by 4 workers with ConcurrentDataset / bare at its best batch": {
            "way": best,
            **at_least(ratio(rates, "f: ours, shared, 4 workers, ConcurrentDataset", best), 0.9),
        },
        "memory: shared by 4 workers / one pipeline and the workers' own": at_most(share, 1.15),
        "12 megapixels without the pipeline, ms": at_most(large["median_ms"], 15.0),
    }


def measure(pictures: Sequence[samples.Picture], rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything."""
    names = QUICK if quick else list(WAYS)
    ways = {name: WAYS[name] for name in names}
    batch = read_samples(pictures, 8 if quick else 32)
    # A process that has used its thread pool must not fork, so what runs in this process comes last.
    measured = {"ways": names if not quick else ["a: plain call, squashed picture", "f: ours, per sample"]}
    host, changes = memory({name: ways[name] for name in measured["ways"]}, batch)
    rates = race(ways, batch, rounds)
    large = large_picture(5 if quick else 50)
    profiled = profile(batch, 1 if quick else max(3, rounds // 3))
    base = "a: plain call, squashed picture"
    rows = {
        name: {
            "images_per_s": round(statistics.median(found), 2),
            "against_a": None if name[0] in "de" else ratio(rates, name, base),
            "processes": ways[name].processes,
            "host_mib": host.get(name),
            "change_outside": changes.get(name),
            **({"note": note} if (note := ways[name].note) else {}),
        }
        for name, found in rates.items()
    }
    return {
        "ways": rows,
        "targets": targets(rates, host, large),
        "profile_ms_per_image": profiled,
        "large_picture": large,
        "memory_mib": {name: host[name] for name in ("main process", "4 workers that never paint")},
        "images": len(batch),
        "picture_sizes": sorted({f"{s.image.shape[1]}x{s.image.shape[0]}" for s in batch}),
        "rounds": rounds,
    }


def main() -> None:
    """Run and write ``results/peers.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="some of the ways, one round, a few pictures")
    parser.add_argument("--data", type=Path, help="folder with images/ and coco.json, instead of the embedded picture")
    arguments = parser.parse_args()
    pictures = samples.embedded()
    if arguments.data:
        pictures = samples.read_own(arguments.data / "images", arguments.data / "coco.json", "coco", None, print)
    results = measure(pictures, 1 if arguments.quick else arguments.rounds, arguments.quick)
    for name, row in results["ways"].items():
        print(
            f"{name:48} {row['images_per_s']:9.2f}/s  {row['against_a']!s:>7} x a"
            f"  {row['host_mib']!s:>7} MiB  outside: {row['change_outside']}"
        )
    for section in ("targets", "profile_ms_per_image"):
        print(section)
        for name, found in results[section].items():
            print(f"  {name:70} {found}")
    print(f"wrote {report.write('peers', results)}")


if __name__ == "__main__":
    main()
