"""Fit: teach an inpainting model the objects of a labelled data set."""

from __future__ import annotations

import copy
import functools
import json
import logging
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inpaint_transform.core.labels import ClassNames
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.nearest import nearest
from inpaint_transform.core.prompts import Prompts
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import architecture as architectures
from inpaint_transform.fit import autoencoder, card, caveats, full, lora, summary
from inpaint_transform.fit.bases import Base, check_prompts, choose_device, find_base, load, quiet, read_card, release
from inpaint_transform.fit.captions import BACKGROUND, TEMPLATES, Captions
from inpaint_transform.fit.critic import Features
from inpaint_transform.fit.display import Display
from inpaint_transform.fit.evaluate import EDITS, Evaluation, evaluate
from inpaint_transform.fit.examples import Crops
from inpaint_transform.fit.hyperparameters import Plan, make_plan
from inpaint_transform.fit.pictures import MIN_SIDE, Sample, content, count_labels, digest, of_labels, split
from inpaint_transform.fit.pipeline_inpainter import PipelineInpainter
from inpaint_transform.fit.trainer import alone
from inpaint_transform.fit.vocabulary import new_words

logger = logging.getLogger(__name__)

# Crops that show whether the base's autoencoder has ever seen the like.
TRIED_CROPS = 16


def fit(
    train: Sequence[Sample],
    held_out: Sequence[Sample] | None = None,
    *,
    base: str,
    out: Path,
    architecture: str = "tiny",
    prompts: Prompts = TEMPLATES,
    attributes: Mapping[str, Sequence[str]] | None = None,
    class_names: ClassNames = None,
    turnable: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
    rank: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    crops: int | None = None,
    rate: float | None = None,
    every: int | None = None,
    steps_of_autoencoder: int | None = None,
    steps_of_decoder: int | None = None,
    steps_of_adversary: int | None = None,
    features: Features | None = None,
    size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    edits: int = EDITS,
    licence: str | None = None,
    command: str = "inpaint_transform.fit.fit(...)",
    progress: bool = False,
) -> dict[str, Any]:
    """Train on labelled boxes: each is a hole to paint, its class says what belongs there.

    A run that was broken off, however that happened, goes on when it is called again with the same folder.

    Args:
        train: The pictures to train on.
        held_out: Pictures kept apart, which say when to stop and how good the result is. None takes some of ``train``.
        base: ``"tiny"`` or a folder that fit wrote (all weights), ``"none"`` (all weights, from nothing), or a
            9-channel Stable Diffusion or SDXL inpainting checkpoint, as preset, hub id or folder (a LoRA).
        out: Folder for the weights, the card, the page, sample sheets and, in ``training``, the checkpoints.
        architecture: With base ``"none"``: a name of ``architecture.ARCHITECTURES``.
        prompts: What the classes are called, as ``BBoxInpaint`` takes them.
        attributes: Slot name to values.
        class_names: Label to noun.
        turnable: Classes without an upright position, which are turned by quarters in training.
        shares: How often a class is drawn against the others; 1 where it is not named.
        rank: Of the LoRA, >= 1. Default 16.
        steps: Steps of the denoiser in all. Default 3000 of a small model, 20,000 from nothing, 800 of a LoRA. With 0
            a small base keeps its denoiser, which knows the latents of an autoencoder that is trained on nearly as
            well as before; with no steps of the autoencoder either, the decoder alone is trained.
        batch: Examples a step. Default 16, 32 and 4.
        crops: Examples that are drawn and encoded, once. Default: by the number of boxes.
        rate: Learning rate of the denoiser, in (0, 1). Default 4e-4, of a LoRA 1e-4.
        every: Steps between checkpoints. Default 100.
        steps_of_autoencoder: Steps of a small model's autoencoder. Default 1,000, from nothing 12,000.
        steps_of_decoder: Steps of its decoder against a critic, which makes it sharp. Default 1000 and 4000.
        steps_of_adversary: Steps of a small model's denoiser against a critic, after which it paints in three steps.
            Default 0; wants ``features``.
        features: With which that critic sees, and one of the decoder that judges whole objects: a frozen network that
            knows pictures in general, such as one trained on ImageNet, on the device of the training. It gets
            ``(B, 3, H, W)`` float in [-1, 1] and gives feature maps ``(B, C, h, w)``, each half as large as the one
            before.
        size: Side of the working crop in pixels. Default: the base's own, or the architecture's. Twice that of a
            small base (or four times, and so on) leaves the latents their size: the autoencoder gets another level, and
            painting takes little longer.
        seed: Decides on every draw.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        edits: How many held-out boxes are painted for the page, at least; 0 leaves the evaluation out.
        licence: Of the pictures, for the card.
        command: How to do it again, for the card.
        progress: Whether to show progress bars on a terminal; a log file gets lines only.

    Returns:
        What ``fit.json`` in the folder holds: data, plan, versions, warnings and measurements.

    Raises:
        ValueError: The base cannot be fitted, an argument is out of its range, there is nothing to learn from, or the
            folder holds another run.
        FileNotFoundError: There is no such base.
        InpaintError: The base does not load, or training broke down.
    """
    chosen = find_base(base)
    if edits < 0:
        raise ValueError(f"edits={edits!r}: use a number of at least 0")
    trained, kept = (list(train), list(held_out)) if held_out is not None else split(train, seed)
    _check_classes({label for sample in (*trained, *kept) for label in sample.labels}, prompts, turnable, shares)
    labels = list(count_labels(trained))
    if not labels:
        raise ValueError(
            f"train: none of {len(trained)} pictures has a box of {MIN_SIDE} pixels or more; nothing to learn"
        )
    captions = Captions(labels, prompts, attributes, class_names)
    kind = "LoRA" if not chosen.whole else "nothing" if chosen.spec is None else "small"
    plan = make_plan(
        kind,
        sum(count_labels(trained).values()),
        steps=steps,
        batch=batch,
        crops=crops,
        rank=rank,
        rate=rate,
        every=every,
        seed=seed,
        steps_of_autoencoder=steps_of_autoencoder,
        steps_of_decoder=steps_of_decoder,
        steps_of_adversary=steps_of_adversary,
    )
    if plan.steps_of_adversary and (features is None or not chosen.whole):
        raise ValueError(
            f"steps_of_adversary={plan.steps_of_adversary}: "
            + ("give features too, a network that the critic sees with" if chosen.whole else "a LoRA has none; use 0")
        )
    if features is not None and not (chosen.whole and plan.steps_of_adversary + plan.steps_of_decoder):
        why = "with no steps of adversary or decoder" if chosen.whole else "in a LoRA's training"
        raise ValueError(f"features: nothing looks through them {why}; give none")
    where = choose_device(device)
    pipeline, unknown = _pipeline(chosen, architecture, captions, seed, device)
    if unknown and not plan.steps:
        raise ValueError(f"steps=0: the base does not know {', '.join(unknown)}; only the denoiser's steps teach words")
    cell = int(pipeline.vae_scale_factor)
    own = (chosen.spec and not chosen.whole and chosen.spec.size) or pipeline.unet.config.sample_size * cell
    side = _side(size or own, cell, pipeline.unet)
    known, teacher = Crops(trained, own, cell, turnable, shares), None
    levels = architectures.levels_above(own, side) if kind == "small" else 0
    if levels:
        teacher, pipeline = pipeline.vae, architectures.grow(pipeline, levels, seed)
        cell <<= levels
    elif chosen.whole and side != own:
        architectures.resize(pipeline, side)
    if kind == "small" and plan.steps_of_autoencoder and teacher is None:
        teacher = copy.deepcopy(pipeline.vae)
    learnt = set(read_card(Path(chosen.spec.id)).get("pictures", ())) if chosen.spec else set()
    start = card.make(base, chosen.whole, side, trained, kept, licence, command, {**vars(plan)}, learnt)
    settings = {
        "base": base,
        "architecture": architecture,
        "size": side,
        "data": start["data"]["digest"],
        # The same pictures kept apart, or what was learnt by heart is called unseen.
        "held_out": digest(kept),
        "captions": captions.by_label,
        "turnable": sorted(turnable),
        "shares": dict(shares or {}),
        **plan.fingerprint(),
    }
    work = _work_folder(out, settings)
    drawn = Crops(trained, side, cell, turnable, shares, pasted=chosen.whole)
    usable = bool(count_labels(kept).keys() & set(labels))
    unseen = Crops(of_labels(kept, labels), side, cell, turnable) if usable else None
    psnr = np.inf if kind == "nothing" else _psnr(teacher or pipeline.vae, known)
    said = caveats.before(trained, kept, unknown, psnr, sum(content(sample) in learnt for sample in kept))
    for sentence in said:
        logger.warning("%s", sentence)

    pipeline.to(where)
    recipe = Recipe(prompts=captions.by_label, min_box_size=MIN_SIDE)
    paints = functools.partial(_paints, chosen, pipeline)
    run = Display(pipeline, chosen, PipelineInpainter(pipeline, side, cell, paints), recipe, labels, out, progress)
    begun = time.monotonic()
    training = (
        full.train(pipeline, drawn, unseen, captions, plan, work, progress, teacher, features)
        if chosen.whole
        else lora.train(pipeline, drawn, unseen, captions, plan, work, progress)
    )
    with alone(work):
        for name, total, step in training:
            run.follow(name, total, step, kept if usable else trained)
        run.end()
        _save(pipeline, chosen, out)
    stages = _stages(work, plan)
    seconds = sum(stage.pop("seconds") for stage in stages.values()) if stages else time.monotonic() - begun
    best = paints() if chosen.whole else {}
    result = card.finish(start, stages, seconds, said, best, None)
    # Before the evaluation, which may be broken off: weights without a card are taken for a model of another kind.
    card.write(result, out)
    spec = _result(chosen, out, {"size": side, "device": device, **best})
    found = None
    if edits and usable:
        vae = pipeline.vae.float().to(where)
        del run, paints, pipeline, teacher, training
        release(where)
        found = _evaluate(spec, trained, of_labels(kept, labels), recipe, edits, seed, vae, progress)
        said += caveats.after(found.numbers)
        result = card.finish(start, stages, seconds, said, best, found.numbers)
        card.write(result, out)
    summary.write(result, found.shown if found else [], stages, out / "page.html")
    return result


def _check_classes(
    classes: Collection[str], prompts: Prompts, turnable: Collection[str], shares: Mapping[str, float] | None
) -> None:
    """Refuse what is said of a class that there is not: it would be trained as if nothing had been said."""
    if isinstance(turnable, str):
        raise ValueError(f"turnable={turnable!r}: give a list of class names, such as [{turnable!r}]")
    known = sorted(classes)
    given = {"prompts": prompts if isinstance(prompts, Mapping) else (), "turnable": turnable, "shares": shares or ()}
    for name, said in given.items():
        for label in said:
            if label not in classes:
                raise ValueError(
                    f"{name}: no class is called {label!r}; the classes are {', '.join(known)}"
                    f"{nearest(str(label), known)}"
                )
    for label, share in (shares or {}).items():
        if not 0 < share < np.inf:
            raise ValueError(f"shares={{{label!r}: {share!r}}}: use a number above 0")


def _pipeline(base: Base, architecture: str, captions: Captions, seed: int, device: str) -> tuple[Any, list[str]]:
    """The pipeline to train, and the words that it did not know."""
    said = captions.everything()
    unknown: list[str] = []
    if base.spec is None:
        with quiet():
            pipeline = architectures.build(architecture, said, seed)
    else:
        pipeline = load(base.spec, device, base.whole)
        if base.whole:
            # What is said of holes without an object is ours, and no word of the user's.
            unknown = new_words(pipeline.tokenizer, [one for one in said if one != BACKGROUND])
            architectures.learn_words(pipeline, said, seed)
    check_prompts(pipeline, said)
    return pipeline, unknown


def _side(size: int, cell: int, unet: Any) -> int:
    multiple = cell * 2 ** (len(unet.config.block_out_channels) - 1)
    if size < multiple or size % multiple:
        raise ValueError(f"size={size}: this model works in steps of {multiple} pixels; use a multiple of it")
    return size


def _work_folder(out: Path, settings: dict[str, Any]) -> Path:
    """The folder of checkpoints, once it is sure that what is in it belongs to this run."""
    work = out / "training"
    work.mkdir(parents=True, exist_ok=True)
    file, text = work / "settings.json", json.dumps(settings, indent=2, sort_keys=True)
    if file.exists():
        before, now = json.loads(file.read_text("utf-8")), json.loads(text)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            name = changed[0]
            raise ValueError(
                f"{out}: holds a run with {name}={before.get(name)!r}, not {now.get(name)!r}; give another folder, "
                f"or the settings of that run to go on with it"
            )
    else:
        # Whole or not at all: what a full disk has cut off could not be read.
        part = file.with_name(f"{file.name}.part")
        part.write_text(text, "utf-8")
        part.replace(file)
    return work


def _psnr(vae: Any, crops: Crops) -> float:
    images = np.stack([example.image for _, example in crops.draw(TRIED_CROPS, 0)])
    back = [autoencoder.round_trip(vae, image[None])[0] for image in images]
    return autoencoder.psnr(images, np.stack(back))


def _paints(base: Base, pipeline: Any) -> dict[str, Any]:
    """With which steps and guidance sheets are painted."""
    if base.whole:
        return architectures.usual(pipeline)
    given = base.spec.guidance_scale if base.spec else None
    return {"steps": architectures.STEPS, "guidance_scale": 7.5 if given is None else given}


def _save(pipeline: Any, base: Base, out: Path) -> None:
    if base.whole:
        full.save(pipeline, out)
    else:
        lora.save(pipeline, out)
    # safetensors writes files that their owner alone may read; whoever may read the rest is to load the weights too.
    mode = (out / "training" / "settings.json").stat().st_mode
    for path in out.rglob("*.safetensors"):
        path.chmod(stat.S_IMODE(mode))


def _result(base: Base, out: Path, own: dict[str, Any]) -> ModelSpec:
    """What was made, as anybody else would load it."""
    if base.whole or base.spec is None:
        return ModelSpec(str(out), serving="local", **own)
    return ModelSpec(**{**base.spec.to_dict(), "lora": str(out), "serving": "local", **own})


def _evaluate(
    spec: ModelSpec,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    edits: int,
    seed: int,
    vae: Any,
    progress: bool,
) -> Evaluation:
    from inpaint_transform.serving.registry import connect

    inpainter = connect(spec)
    try:
        return evaluate(
            inpainter,
            train,
            held_out,
            recipe,
            edits,
            seed,
            lambda images: autoencoder.round_trip(vae, images),
            progress=progress,
        )
    finally:
        inpainter.close()


def _stages(work: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """What each checkpoint says of its training; not that of a stage which this plan leaves out."""
    found = {}
    for path in sorted(work.glob("*.pt"), key=lambda path: path.stat().st_mtime):
        state, stage = torch.load(path, weights_only=True, map_location="cpu", mmap=True), path.stem.split("-")[0]
        if "history" in state and vars(plan).get(f"steps_of_{stage}", plan.steps):
            found[stage] = {
                "steps": state["step"],
                "best_step": state["best_step"],
                "loss": state["loss"],
                "held_out": [[int(step), round(float(loss), 5)] for step, loss in state["history"]],
                "seconds": state["seconds"],
            }
    return found
