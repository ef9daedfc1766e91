"""The bank: what is painted into the boxes of a draw, made once and kept on disk, so that a run costs training only.

A patch is what one painted box changes of its picture as the detector sees it. Windows, masks, gates and blending are
those of the transform (``core.plan`` and ``core.paint``), at the size of the original picture.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.study import painters, program, sharpness
from benchmarks.study.patches import Bank, Painting, Patch
from benchmarks.study.sets import StudySet, shrink
from benchmarks.tiny import data
from inpaint_transform.core import crops
from inpaint_transform.core.balancing import balance
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, obstacles, plan
from inpaint_transform.core.protocol import Inpainter, Judge
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import classifiers
from inpaint_transform.fit.pictures import Sample, digest, read_picture
from inpaint_transform.gates import ClipGate, FillGate, ScoreGate
from inpaint_transform.serving.registry import connect

# In pixels of the original picture: what the detector sees at 6 is not worth painting.
MIN_BOX_SIZE = 16
# Of the painted boxes, kept at their own detail for the test of real and painted.
MAX_CROPS = 300


def base_recipe(labels: Sequence[str], words: str = "right") -> Recipe:
    """How the boxes of a study are painted: every one that may be, the transform's defaults otherwise."""
    nouns = {label: data.NAMES[label][0] if label in data.NAMES else label for label in labels}
    spoken = nouns if words == "right" else painters.scrambled(nouns)
    return Recipe(
        prompts={label: f"a photo of a {noun}" for label, noun in spoken.items()},
        class_names=nouns,
        box_p=1.0,
        min_box_size=MIN_BOX_SIZE,
        retries=0,
    )


def boxes_of(samples: Sequence[Sample]) -> list[tuple[str, Box]]:
    """All boxes of some pictures with their class names."""
    return [pair for sample in samples for pair in zip(sample.labels, sample.boxes, strict=True)]


def paintable(samples: Sequence[Sample], labels: Sequence[str]) -> list[list[int]]:
    """The boxes of each picture that may be painted as what they are: the count that all arms keep to."""
    recipe = base_recipe(labels)
    found = []
    for sample in samples:
        height, width = read_picture(sample.image).shape[:2]
        scene = Scene(height, width, list(sample.boxes), list(sample.labels))
        found.append([index for index, obstacle in enumerate(obstacles(recipe, scene)) if obstacle is None])
    return found


def get(found: StudySet, samples: Sequence[Sample], painting: Painting, model: str, cache: Path, draw: int) -> Bank:
    """The bank of a draw: from the cache, or painted now.

    Args:
        found: The set.
        samples: The draw's pictures.
        painting: What is painted.
        model: Which prior, as ``ModelSpec.id``.
        cache: Folder of banks and fitted models.
        draw: Number of the draw, which decides on the noise.
    """
    said = json.dumps(
        {
            **asdict(painting),
            "model": digest_of_weights(model) if painting.prior else None,
            "pictures": digest(samples),
            "draw": draw,
            "view": [found.height, found.width],
            "program": program.digest(program.FILES),
        },
        sort_keys=True,
    )
    name = f"{found.name}-{painting.kind}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{name}.npz"
    with _alone(cache / f"{name}.lock"):
        if not path.exists():
            _paint(found, samples, painting, model, cache, draw).save(path)
            path.with_suffix(".json").write_text(said, "utf-8")
    return Bank.load(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: runs of a draw may begin together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest_of_weights(model: str) -> str:
    """A digest of a model's weights, so that no bank mixes two models of one name."""
    folder = Path(ModelSpec(model).resolved().id)
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        raise ValueError(f"model={model!r}: no weights in {folder}; give the folder of a model")
    return program.digest(files)


@dataclass(frozen=True, eq=False)
class _Job:
    """One picture with the edits to be painted into it, each with its box's number."""

    picture: np.ndarray
    edits: list[Edit]
    slots: list[int]


def _paint(found: StudySet, samples: Sequence[Sample], painting: Painting, model: str, cache: Path, draw: int) -> Bank:
    recipe, inpainter, gate = _tools(found, samples, painting, model, cache, draw)
    donors = painters.Donors(samples, MIN_BOX_SIZE) if painting.kind in ("paste", "insert") else None
    sharpen = sharpness.Matcher(samples) if painting.matched else None
    patches: list[Patch] = []
    kept: list[np.ndarray] = []
    rng = random.Random(f"{draw}-{painting.kind}")
    for row, sample in enumerate(tqdm(samples, f"painting ({painting.kind})", unit="picture", disable=None)):
        job = _edits(recipe, sample, painting, donors, inpainter, rng)
        if not job.edits:
            continue
        base = shrink(job.picture, found.height, found.width)
        _, [outcomes] = paint_all(recipe, [job.picture], [job.edits], inpainter, gate)
        for slot, outcome in zip(job.slots, outcomes, strict=True):
            after = outcome.after()
            # What the engine gave up, and what is as it was, is no painting at all; the gate's word is only noted.
            if after is None or outcome.reason == "unchanged":
                continue
            if sharpen is not None:
                after = sharpen.match(outcome.edit, outcome.before, after)
            x0, y0, x1, y1 = outcome.edit.window
            whole = job.picture.copy()
            whole[y0:y1, x0:x1] = after
            patch = _cut(found, row, slot, outcome.edit, base, whole, outcome.accepted)
            if patch is not None:
                patches.append(patch)
                kept.append(classifiers.box_picture(whole, outcome.edit.box, classifiers.CRITIC_SIZE))
    chosen = random.Random(draw).sample(kept, min(MAX_CROPS, len(kept)))
    size = classifiers.CRITIC_SIZE
    return Bank(patches, np.stack(chosen) if chosen else np.zeros((0, size, size, 3), np.uint8))


def _tools(
    found: StudySet, samples: Sequence[Sample], painting: Painting, model: str, cache: Path, draw: int
) -> tuple[Recipe, Inpainter, Judge | None]:
    """How, by whom and under whose eyes is painted."""
    recipe = base_recipe(found.labels, painting.words)
    if painting.swap:
        swap = balance(boxes_of(samples), min_box_size=MIN_BOX_SIZE).swap
        recipe = replace(recipe, relabel=swap, include_labels=list(swap.targets))
    if painting.kind in ("paste", "insert"):
        return recipe, painters.PastePainter(), None
    spec = ModelSpec(model, steps=painting.steps, dtype=_dtype(), serving="local")
    if painting.closed:
        fitted = str(_fit(samples, painting, cache, draw))
        best = PRESETS["tiny"]
        spec = ModelSpec(
            fitted,
            steps=painting.steps or best.steps,
            guidance_scale=best.guidance_scale,
            dtype=_dtype(),
            serving="local",
        )
    if not painting.generated:
        # Here, for a run that finds its bank needs no diffusers, which takes seconds to load.
        from inpaint_transform.fit.autoencoder import load_round_trip

        return recipe, painters.RoundTripPainter(load_round_trip(spec), connect(spec).size), None
    # Beside a closed generator nothing that has seen another picture: its gate is a reader of the draw's own boxes.
    known = _reader_gate(samples, found.labels, draw) if painting.closed else ClipGate("tiny")
    return recipe, connect(spec), FillGate() & known


def _dtype() -> str:
    """As ever on a GPU; on a processor that gains by bfloat16, that: a bank takes minutes."""
    from inpaint_transform.fit.precision import fast_dtype

    half = not torch.cuda.is_available() and fast_dtype(torch.device("cpu")) == torch.bfloat16
    return "bfloat16" if half else "auto"


def _fit(samples: Sequence[Sample], painting: Painting, cache: Path, draw: int) -> Path:
    """A generator that has seen these pictures alone."""
    from inpaint_transform.fit import fit

    autoencoder, decoder, denoiser = painting.fit_steps
    code = program.digest(program.FILES)
    out = cache / f"closed-{digest(samples)}-{autoencoder}-{decoder}-{denoiser}-{code}"
    with _alone(out.with_name(f"{out.name}.lock")):
        if (out / "fit.json").exists():
            return out
        labels = sorted({label for sample in samples for label in sample.labels})
        fit(
            list(samples),
            base="none",
            out=out,
            prompts=base_recipe(labels).prompts,
            turnable=[label for label in labels if label in data.TURNABLE],
            steps=denoiser,
            steps_of_autoencoder=autoencoder,
            steps_of_decoder=decoder,
            batch=16,
            crops=max(64, denoiser // 2),
            seed=draw,
            edits=0,
            progress=True,
        )
    return out


def _reader_gate(samples: Sequence[Sample], labels: Sequence[str], draw: int) -> ScoreGate:
    patches: dict[str, list[Any]] = {label: [] for label in labels}
    for sample in samples:
        picture = read_picture(sample.image)
        for index in sample.usable():
            patches[sample.labels[index]].append(classifiers.patch(picture, sample.boxes[index]))
    reader = classifiers.train_reader(patches, labels, draw)

    def right(original: np.ndarray, painted: np.ndarray, label: Any, box: Box) -> bool:
        del original
        [got] = classifiers.read(reader, [classifiers.box_picture(painted, box)])
        return bool(got == list(labels).index(label))

    return ScoreGate(right, min_score=0.5)


def _edits(
    recipe: Recipe,
    sample: Sample,
    painting: Painting,
    donors: painters.Donors | None,
    inpainter: Inpainter,
    rng: random.Random,
) -> _Job:
    picture = read_picture(sample.image)
    height, width = picture.shape[:2]
    edits: list[Edit] = []
    slots: list[int] = []
    pasted: list[np.ndarray] = []
    for variant in range(painting.variants):
        if painting.kind == "insert":
            assert donors is not None
            for _ in sample.boxes:
                label = rng.choice(sorted(donors.by_label))
                where = painters.place(picture, sample.boxes, label, donors, rng)
                if where is not None:
                    edits.append(_new(recipe, where[0], label, height, width, rng))
                    slots.append(-len(edits))
                    pasted.append(where[1])
            continue
        # Of two boxes that lie over each other the first is painted: each gets its turn.
        order = rng.sample(range(len(sample.boxes)), len(sample.boxes)) if variant else list(range(len(sample.boxes)))
        scene = Scene(height, width, [sample.boxes[row] for row in order], [sample.labels[row] for row in order])
        for edit in plan(recipe, scene, rng):
            edits.append(edit)
            slots.append(order[edit.index or 0])
            if donors is not None:
                pasted.append(donors.draw(edit.target, edit.box, rng))
    if isinstance(inpainter, painters.PastePainter):
        inpainter.announce(edits, pasted)
    return _Job(picture, edits, slots)


def _new(recipe: Recipe, box: Box, label: str, height: int, width: int, rng: random.Random) -> Edit:
    """An object where none is."""
    window = crops.context_window(box, height, width, recipe.context)
    return Edit(None, box, window, label, f"a photo of a {label}", "", 1.0, rng.getrandbits(63))


def _cut(
    found: StudySet, row: int, slot: int, edit: Edit, base: np.ndarray, whole: np.ndarray, accepted: bool
) -> Patch | None:
    small = shrink(whole, found.height, found.width)
    changed = (small != base).any(axis=2)
    if not changed.any():
        return None
    x, y, width, height = cv2.boundingRect(changed.view(np.uint8))
    part = np.s_[y : y + height, x : x + width]
    scale = np.tile([found.width / whole.shape[1], found.height / whole.shape[0]], 2)
    return Patch(
        row,
        slot,
        found.labels.index(str(edit.target)),
        np.array(edit.box) * scale,
        (x, y),
        small[part].copy(),
        changed[part].copy(),
        accepted,
    )


def told_apart(samples: Sequence[Sample], bank: Bank, seed: int) -> float:
    """How well a classifier tells painted boxes from the draw's real ones, in [0.5, 1] or thereabouts."""
    real = []
    for sample in samples:
        picture = read_picture(sample.image)
        real += [
            classifiers.box_picture(picture, sample.boxes[index], classifiers.CRITIC_SIZE) for index in sample.usable()
        ]
    rng = random.Random(seed)
    count = min(len(real), len(bank.crops), MAX_CROPS)
    painted = list(bank.crops)
    return classifiers.real_or_painted(rng.sample(real, count), rng.sample(painted, count), seed)
