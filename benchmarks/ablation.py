"""What each switch of the engine buys and what it costs: ``python -m benchmarks.ablation [--data DIR ...]``.

Every way to paint is one switch away from another way, the default unless the table says otherwise. All of them paint
the same crops; they take turns round by round, in an order drawn anew, so that whatever else the machine does hits all
alike. With ``--data`` a classifier that has only seen real objects reads what was painted, see ``readback``.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from benchmarks import readback
from benchmarks.engine_profile import random_unet, write
from benchmarks.tiny import data
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.crops import align_mask
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.engine import Engine, adapters
from inpaint_transform.fit import classifiers
from inpaint_transform.tools.bench import samples

DEFAULT = "default"
DEFAULT_4 = "4-channel UNet"
# Side of the tiny model's crops in pixels.
SIZE: int = PRESET_FIELDS["tiny"]["size"]
# As most checkpoints paint; the embedded model's own three steps without guidance leave nothing to switch off.
USUAL = {"scheduler": "DDIMScheduler", "guidance_scale": 2.0}
STEPS = (10, 4, 2)


class Painter(Engine):
    """An engine that can stand where an inpainter stands.

    What the engine does for every model has no switch; the subclasses undo it, one thing at a time.
    """

    def stats(self) -> dict[str, Any]:
        """Nobody asks."""
        return {}


class NoPromptCache(Painter):
    """Lets the pipeline encode the prompts, in every call anew."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._prompts = None


class OneByOne(Painter):
    """Lets the pipeline encode the pictures, one by one as it does for a list of generators."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._latents = False


class UnusedEncode(Painter):
    """Encodes the masked pictures as well, which a 4-channel UNet does not see."""

    def _pictures(self, pixels: torch.Tensor, masks: torch.Tensor, strength: float) -> dict[str, Any]:
        adapters.encode(self._pipeline.vae, (pixels * 2 - 1) * (1 - masks), self._adapter.upcast)
        return super()._pictures(pixels, masks, strength)


class Pil(Painter):
    """Passes PIL pictures in and out."""

    def _call(self, requests: list[InpaintRequest]) -> tuple[torch.Tensor, torch.Tensor, list[bool]]:
        aligned = np.stack([align_mask(request.mask, self.cell) for request in requests])
        painted = self._pipeline(
            image=[Image.fromarray(request.image) for request in requests],
            mask_image=[Image.fromarray(mask) for mask in aligned],
            height=self.size,
            width=self.size,
            num_inference_steps=self._steps,
            guidance_scale=self._guidance,
            strength=requests[0].strength,
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
            output_type="pil",
            **self._text(requests),
        ).images
        images = torch.from_numpy(np.stack([np.asarray(picture) for picture in painted])).permute(0, 3, 1, 2)
        return images.float() / 255, torch.from_numpy(aligned)[:, None].float(), [False] * len(requests)


@dataclass(frozen=True)
class Way:
    """One way to paint.

    Attributes:
        make: Loads it.
        against: The way that differs from it by one switch.
        crops: How many crops it paints in one call.
        comparable: Whether it starts from the same noise and the same weights as ``against``.
        readable: Whether its weights are trained, so that what it paints can be read.
        note: What to know about it.
    """

    make: Callable[[], Painter]
    against: str
    crops: int
    comparable: bool = True
    readable: bool = True
    note: str = ""


def ways_of(folder: Path, batch: int, steps: tuple[int, int, int], compiled: bool) -> dict[str, Way]:
    """All ways, by name.

    Args:
        folder: Where checkpoints may be written.
        batch: Crops in a call.
        steps: Denoising steps, the default's first.
        compiled: Whether to compile as well, which takes minutes.
    """
    many, few, fewest = steps
    base = ModelSpec("tiny", device="cpu", steps=many, max_batch_size=batch, **USUAL)
    unet = random_unet(folder / "four", in_channels=4)
    four = dataclasses.replace(base, id=unet, size=SIZE, scheduler=None)
    vae = str(tiny_autoencoder(folder / "vae"))
    part = batch * 5 // 8
    some = f"{part} of {batch} crops"

    def switched(against: str = DEFAULT, crops: int = batch, **fields: Any) -> Way:
        return Way(functools.partial(Painter, dataclasses.replace(base, **fields)), against, crops)

    ways = {
        DEFAULT: switched(),
        "no prompt cache": Way(functools.partial(NoPromptCache, base), DEFAULT, batch),
        "pictures encoded one by one": Way(
            functools.partial(OneByOne, base),
            DEFAULT,
            batch,
            note="diffusers' own way; it samples the posterior, the default takes its mode",
        ),
        "PIL in and out": Way(functools.partial(Pil, base), "pictures encoded one by one", batch),
        "batch 1": switched(max_batch_size=1),
        some: dataclasses.replace(switched(crops=part), readable=False),
        f"{some}, padded": switched(some, part, reproducible=True),
        "bfloat16": switched(dtype="bfloat16"),
        f"{few} steps": switched(steps=few),
        f"{fewest} steps": switched(steps=fewest),
        f"LCMScheduler, {few} steps": dataclasses.replace(
            switched(f"{few} steps", steps=few, scheduler="LCMScheduler"),
            comparable=False,
            note="draws new noise in every step",
        ),
        "no guidance": switched(guidance_scale=1.0),
        "AutoencoderTiny": dataclasses.replace(
            switched(vae=vae),
            comparable=False,
            readable=False,
            note="TAESD with random weights: speed only",
        ),
        DEFAULT_4: Way(
            functools.partial(Painter, four),
            DEFAULT,
            batch,
            comparable=False,
            readable=False,
            note="random weights: the base of the next two",
        ),
        "4-channel UNet, unused encode": Way(
            functools.partial(UnusedEncode, four), DEFAULT_4, batch, readable=False, note="of the masked pictures"
        ),
        "4-channel UNet, encoded one by one": Way(
            functools.partial(OneByOne, four),
            DEFAULT_4,
            batch,
            comparable=False,
            readable=False,
            note="diffusers' own way, both encodes; it samples the posterior before it draws the noise",
        ),
    }
    fields = {field.name for field in dataclasses.fields(ModelSpec)}
    if "channels_last" in fields:
        ways["channels_last"] = switched(channels_last=True)
    if "compile" in fields and compiled:
        ways["compile"] = switched(compile=True)
    return ways


def tiny_autoencoder(folder: Path) -> Path:
    """Save a TAESD, which has the tiny model's cells of eight pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = diffusers.AutoencoderTiny()
    vae.save_pretrained(folder)
    return folder


def race(
    painters: dict[str, Painter], ways: dict[str, Way], requests: Sequence[InpaintRequest], rounds: int
) -> dict[str, list[float]]:
    """Images per second of each way in every round."""
    rates: dict[str, list[float]] = {name: [] for name in painters}
    rng = random.Random(0)
    for _ in range(rounds):
        for name in rng.sample(list(painters), len(painters)):
            crops = requests[: ways[name].crops]
            start = time.perf_counter()
            painters[name].paint(crops)
            rates[name].append(len(crops) / (time.perf_counter() - start))
    return rates


def ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return round(statistics.median(one / two for one, two in zip(mine, other, strict=True)), 3)


def line(name: str, row: dict[str, Any]) -> str:
    """A row as it is printed."""
    return (
        f"{name:36} {row['images_per_s']:8.2f}/s {row['speed_ratio']:7.3f} x {row['against']:28}"
        f" ready {row['ready_after_s']:6.1f} s  difference {row['difference']}  read back {row['read_back']}"
    )


def differences(mine: Painter, other: Painter, requests: Sequence[InpaintRequest]) -> dict[str, float] | None:
    """The largest and the mean difference inside the masks, in grey levels; None where every crop was rejected."""
    found = []
    for request, one, two in zip(requests, mine.paint(requests), other.paint(requests), strict=True):
        if one.image is not None and two.image is not None:
            found.append(np.abs(one.image.astype(int) - two.image)[request.mask])
    if not found:
        return None
    levels = np.concatenate(found)
    return {"largest": int(levels.max()), "mean": round(float(levels.mean()), 3)}


@dataclass(frozen=True)
class Exam:
    """Edits of one data set, and the classifier that is to read them; each box becomes every class once."""

    recipe: Recipe
    images: list[np.ndarray]
    edits: list[Edit]
    wanted: np.ndarray
    reader: torch.nn.Module

    def accuracy(self, painter: Painter) -> float:
        """Mean recall of the classes."""
        edits = [[edit] for edit in self.edits]
        painted, _ = paint_all(self.recipe, self.images, edits, painter)
        crops = [classifiers.box_picture(image, edit.box) for image, edit in zip(painted, self.edits, strict=True)]
        return round(
            float(np.mean(list(classifiers.recalls(self.wanted, classifiers.read(self.reader, crops)).values()))), 4
        )


def exam(root: Path, boxes_per_class: int) -> Exam:
    """Train the reader and draw the boxes, from pictures that no training saw."""
    real = data.Crops(data.load([root], ["train"]))
    unseen = data.Crops(data.load([root], ["val", "test"]))
    recipe = Recipe(
        prompts={label: data.NAMES[label][0] for label in real.labels}, context=2.0, min_box_size=data.MIN_SIDE
    )
    rng = random.Random(0)
    images, edits, wanted = [], [], []
    for label in real.labels:
        known: list[tuple[int, Box]] = unseen.by_label[label]
        for index, box in rng.sample(known, min(boxes_per_class, len(known))):
            image = unseen.photos[index].image
            height, width = image.shape[:2]
            for number, target in enumerate(real.labels):
                [edit] = plan(recipe, Scene(height, width, [box], [target]), rng)
                images.append(image)
                edits.append(edit)
                wanted.append(number)
    return Exam(recipe, images, edits, np.array(wanted), readback.train_reader(real, real.labels, 0))


def load(ways: dict[str, Way], requests: Sequence[InpaintRequest]) -> tuple[dict[str, Painter], dict[str, float]]:
    """All ways, warm, and the seconds until each was: its weights loaded and its first call done."""
    painters, seconds = {}, {}
    for name, way in ways.items():
        start = time.perf_counter()
        painters[name] = way.make()
        painters[name].paint(requests[: way.crops])
        seconds[name] = round(time.perf_counter() - start, 2)
    return painters, seconds


def measure(roots: Sequence[Path], batch: int, rounds: int, boxes_per_class: int, quick: bool) -> dict[str, Any]:
    """The table and what it was measured on."""
    exams = {root.name: exam(root, boxes_per_class) for root in roots}
    with tempfile.TemporaryDirectory() as folder:
        ways = ways_of(Path(folder), batch, (3, 2, 1) if quick else STEPS, not quick)
        requests = samples.requests_of(samples.embedded(), SIZE, batch)
        painters, seconds = load(ways, requests)
        rates = race(painters, ways, requests, rounds)
        rows = {}
        for name, way in ways.items():
            compared = way.comparable and name != DEFAULT
            rows[name] = {
                "against": way.against,
                "crops": way.crops,
                "images_per_s": round(statistics.median(rates[name]), 2),
                "speed_ratio": ratio(rates[name], rates[way.against]),
                "of_default": ratio(rates[name], rates[DEFAULT]),
                "ready_after_s": seconds[name],
                "difference": differences(painters[name], painters[way.against], requests) if compared else None,
                "read_back": {root: found.accuracy(painters[name]) for root, found in exams.items()}
                if way.readable
                else {},
                "note": way.note,
            }
            print(line(name, rows[name]), flush=True)
    return {
        "rows": rows,
        "rounds": rounds,
        "edits_read": {root: len(found.edits) for root, found in exams.items()},
        "columns": {
            "speed_ratio": "images/s over those of 'against': the median of the rounds' ratios",
            "of_default": "images/s over those of the default, likewise",
            "ready_after_s": "loading and the first call, which compiles where asked to",
            "difference": "inside the masks, in grey levels of 255, from 'against'",
            "read_back": "balanced accuracy of a classifier of real objects on what was painted, by data set",
        },
    }


def main() -> None:
    """Run and write ``results/ablation.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="data set folders with coco.json")
    parser.add_argument("--boxes-per-class", type=int, default=20, help="boxes to read back, of each data set's class")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two crops a call, one round, nothing compiled")
    parser.add_argument("--out", type=Path, help="JSON file to write instead")
    arguments = parser.parse_args()
    batch, rounds = (2, 1) if arguments.quick else (8, arguments.rounds)
    results = measure(arguments.data, batch, rounds, arguments.boxes_per_class, arguments.quick)
    print(f"wrote {write('ablation', results, arguments.out)}")


if __name__ == "__main__":
    main()
