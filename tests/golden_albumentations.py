"""The golden scenarios of the Albumentations face, and of what does not depend on a face; see ``golden``."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
from golden_samples import (
    BASE,
    BOXES,
    CASES,
    HEIGHT,
    IDS,
    KINDS,
    LABELS,
    NAMES,
    POINTS,
    SCENE,
    SIZED,
    WIDTH,
    Case,
    Parts,
    greenish,
    instances,
    model,
    of_kind,
    paint_batches,
    picture,
    semantic,
    without,
)
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, ModelSpec
from inpaint_transform.batch import ConcurrentDataset
from inpaint_transform.gates import Candidate, ChangeGate, ClipGate, FillGate, ScoreGate
from inpaint_transform.swaps import Swap, class_counts, class_sizes


def compose(
    *transforms: A.BasicTransform, fields: Sequence[str] = (), points: bool = False, **options: Any
) -> A.Compose:
    return A.Compose(
        list(transforms),
        bbox_params=A.BboxParams(options.pop("box_format", "pascal_voc"), label_fields=["labels", *fields]),
        keypoint_params=A.KeypointParams("xy", label_fields=["joints"]) if points else None,
        **options,
    )


def sample(case: Case, image: np.ndarray, number: int) -> dict[str, Any]:
    found = {"image": image, "bboxes": case.rows, "labels": case.labels, "name": f"picture {number}", "scene": SCENE}
    found |= {name: list(values) for name, values in case.fields.items()}
    if case.masks:
        found["masks"] = instances()
    if case.points:
        found |= {"mask": semantic(), "keypoints": POINTS, "joints": list(range(len(POINTS)))}
    return found


def run_case(name: str, case: Case) -> dict[str, Any]:
    parts = Parts()
    with tempfile.TemporaryDirectory() as folder:
        transform = BBoxInpaint(**case.transform_arguments(name, Path(folder)))
        pipeline = compose(transform, fields=list(case.fields), points=case.points)
        for epoch in case.epochs:
            transform.set_epoch(epoch)
            for number in range(case.pictures):
                image = picture(number)
                result = pipeline(**sample(case, image.copy(), number))
                _add(parts, result, case)
                if case.boxes:
                    parts.compare(image, result["image"], BOXES)
                else:
                    parts.compare(image, result["image"], [[0, 0, WIDTH, HEIGHT]])
        parts.log(Path(folder) / "edits.jsonl")
    parts.count(transform)
    return parts.result()


def _add(parts: Parts, result: dict[str, Any], case: Case = CASES["one box of all"]) -> None:
    parts.add("pixels", result["image"])
    parts.add("boxes", result["bboxes"])
    parts.add("labels", result["labels"], *(result[name] for name in case.fields))
    parts.add("slots", result.get("scene"))
    if case.masks:
        parts.add("masks", result["masks"])
    if case.points:
        parts.add("mask", result["mask"])
        parts.add("keypoints", result["keypoints"], result["joints"])


def _paint(parts: Parts, pipeline: Any, count: int = 4, **more: Any) -> None:
    """Put some pictures with all boxes through a pipeline that leaves them where they are."""
    for number in range(count):
        image = picture(number)
        result = pipeline(image=image.copy(), **{"bboxes": BOXES, "labels": LABELS, **more})
        _add(parts, result)
        parts.compare(image, result["image"], BOXES)


def box_formats(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), relabel={"cat": "zebra"}, **BASE)
    scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    corners = np.array(BOXES, float)
    sized = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    centred = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
    rows = {"pascal_voc": corners, "coco": sized, "albumentations": corners / scale, "yolo": centred / scale}
    for box_format, boxes in rows.items():
        for kind in (boxes.tolist(), boxes.astype(np.float32), boxes + 1e-9):
            _paint(parts, compose(transform, box_format=box_format), 1, bboxes=kind)
    parts.count(transform)
    return parts.result()


def label_types(name: str) -> dict[str, Any]:
    parts = Parts()
    numbers = [np.array(IDS), np.array(IDS, np.uint8), np.array(IDS, float), tuple(IDS)]
    words = [np.array(LABELS), np.array(LABELS, object), tuple(LABELS)]
    arguments = {
        **BASE,
        "prompts": "a thing",
        "class_names": {**NAMES, **{word: word for word in (*NAMES.values(), "a rather long zebra")}},
        "relabel": {3: 20, "cat": "a rather long zebra", "a rather long zebra": "cat"},
    }
    for labels in (*numbers, *words):
        _paint(parts, compose(BBoxInpaint(model(name), **arguments)), 1, labels=labels)
    transform = BBoxInpaint(model(name), **arguments)
    pipeline = compose(transform)
    for own in (LABELS, LABELS[::-1], ["dog"] * 5):  # the pipeline has seen other labels before
        _paint(parts, pipeline, 2, labels=own)
    parts.count(transform)
    return parts.result()


def image_kinds(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), **BASE)
    for dtype, channels in KINDS:
        images = [of_kind(picture(number, channels), dtype) for number in range(2)]
        for image in (*images, images[0][:, :, 0]):
            result = compose(transform)(image=image.copy(), bboxes=BOXES, labels=LABELS)["image"]
            parts.add(f"pixels {dtype} {channels}", result)
            parts.compare(image, result, BOXES)
    parts.count(transform)
    return parts.result()


def stacks_and_volumes(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), stale="clear", **BASE)
    stack = np.stack([picture(number) for number in range(3)])
    masks = np.stack([semantic() + number for number in range(3)])
    targets = (
        {"images": stack},
        {"volume": stack, "mask3d": masks},
        {"volume": stack, "volumes": np.stack([stack, stack[::-1]]), "masks3d": np.stack([masks, masks])},
        {"image": picture(5), "images": stack[:2], "mask": semantic()},
    )
    for given in targets:
        result = compose(transform)(**given, bboxes=BOXES, labels=LABELS)
        for key in given:
            parts.add(f"{' '.join(given)}: {key}", result[key])
        for before, after in zip(stack[:2], result.get("images", ()), strict=False):
            parts.compare(before, after, BOXES)
    parts.count(transform)
    return parts.result()


def seeded_compose(name: str) -> dict[str, Any]:
    """The pipeline's own generator, beside other transforms that draw from theirs."""
    parts = Parts()
    for seed in (7, 8):
        transform = BBoxInpaint(model(name), **{**BASE, "seed": None, "p": 0.6, "num_boxes": (1, 3)})
        pipeline = compose(A.HorizontalFlip(p=0.5), transform, A.RandomCrop(100, 150, p=0.5), seed=seed)
        for number in range(10):
            _add(parts, pipeline(image=picture(number), bboxes=BOXES, labels=LABELS))
        parts.count(transform)
    return parts.result()


def own_random_state(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), schedule={"epochs": 3, "warmup": 2}, **{**BASE, "seed": None})
    pipeline = compose(transform)
    pipeline.set_random_seed(21)
    for epoch in range(3):
        transform.set_epoch(epoch)
        _paint(parts, pipeline, 5)
    parts.count(transform)
    return parts.result()


def nested_pipelines(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), relabel={"cat": ["zebra", "gnu"], "ant": "cat"}, **{**BASE, "seed": None})
    pipeline = compose(
        A.OneOf([transform, A.NoOp()], p=1.0), A.Sequential([A.SomeOf([transform, A.Transpose()], n=1)], p=0.7), seed=3
    )
    for number in range(8):
        _add(parts, pipeline(image=picture(number), bboxes=BOXES, labels=LABELS))
    parts.count(transform)
    return parts.result()


def replay(name: str) -> dict[str, Any]:
    parts = Parts()
    for shape in ("box", "mask"):
        transform = BBoxInpaint(model(name), shape=shape, relabel={"cat": "zebra"}, **{**BASE, "seed": None})
        pipeline = A.ReplayCompose([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
        pipeline.set_random_seed(4)
        for number in range(3):
            given = {"bboxes": BOXES, "labels": LABELS}
            first = pipeline(image=picture(number), masks=instances(), **given)
            text = json.dumps(first["replay"])
            parts.add("replay", json.dumps(without(first["replay"], {"__version__"})))
            parts.add("first pixels", first["image"])
            saved = json.loads(text)
            for height, width in ((HEIGHT, WIDTH), (100, 180)):
                image = picture(number)[:height, :width].copy()
                rows = np.minimum(BOXES, [width, height] * 2)
                again = A.ReplayCompose.replay(saved, image=image, bboxes=rows, labels=LABELS)
                _add(parts, again)
                parts.compare(image, again["image"], BOXES)
    parts.count(transform)
    return parts.result()


def saved_pipelines(name: str) -> dict[str, Any]:
    parts = Parts()
    every = {
        "negative_prompt": "blurry",
        "attributes": {"color": ["red", "blue"]},
        "prompts": {"cat": ["a {color} cat"], "dog": "a dog", "zebra": "a zebra"},
        "include_labels": ["cat", "dog"],
        "exclude_labels": ["ant"],
        "num_boxes": (1, 2),
        "strength": (0.5, 1.0),
        "area_range": (0.0, 0.9),
        "relabel": Swap({"cat": {"zebra": 2, "cat": 1}}, sizes={"zebra": 50}),
        "gate": ChangeGate(7) & FillGate(0.5) & ClipGate("tiny", 0.01),
        "schedule": {"epochs": 9, "warmup": 2},
        "on_error": "skip",
        "seed": 11,
        "p": 0.9,
    }
    for arguments in ({}, every, {"model": {"id": "sd15", "steps": 3}}, {"model": "tiny", "box_p": {"cat": 0.5}}):
        parts.add("text", json.dumps(without(A.to_dict(compose(BBoxInpaint(**arguments))), {"__version__"})))
    pipeline = compose(BBoxInpaint(model(name), **every))
    again = A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))
    parts.add("text", json.dumps(without(A.to_dict(again), {"__version__"})), repr(again.transforms[0]))
    for copied in (pipeline, again, pickle.loads(pickle.dumps(pipeline))):
        _paint(parts, copied, 3)
    parts.count(pipeline.transforms[0])
    return parts.result()


def specs(name: str) -> dict[str, Any]:
    parts = Parts()
    for identity in ("sd15", "sd15-lcm", "sd2", "sd-turbo", "sdxl", "flux-fill", "some/folder"):
        for fields in ({}, {"steps": 3, "size": 256, "guidance_scale": 1.5}, {"serving": "shared", "timeout_s": 5}):
            spec = ModelSpec(identity, **fields)
            parts.add("specs", spec.to_dict(), spec.resolved().to_dict(), ModelSpec.of(spec.to_dict()).to_dict())
    return parts.result()


def swaps(name: str) -> dict[str, Any]:
    parts = Parts()
    rng = np.random.default_rng(0)
    labelled = []
    for _ in range(300):
        x, y, width, height = rng.integers(0, 90, 4).tolist()
        labelled.append((str(rng.choice(["cat", "dog", "ant"], p=[0.6, 0.3, 0.1])), (x, y, x + width, y + height)))
    counts, sizes = class_counts(labelled), class_sizes(labelled)
    balanced = Swap.balanced(counts, sizes)
    parts.add("measured", counts, sizes, Swap.balanced(counts).expected_counts(counts, 0.3))
    for swap in (balanced, SIZED, Swap.of({"cat": ["dog", "ant"]}), Swap.of(balanced.to_dict())):
        parts.add("json", swap.to_dict(), sorted(swap.labels()))
        parts.add("options", *(swap.options(*one) for one in labelled[:50]))
    return parts.result()


def gates(name: str) -> dict[str, Any]:
    """The gates on their own, beyond what the engine paints."""
    parts = Parts()
    rng = np.random.default_rng(1)
    candidates = []
    for number in range(12):
        before = picture(number)[:80, :90].copy()
        after = before.copy()
        x, y, side = (int(value) for value in rng.integers(5, 40, 3))
        after[y : y + side, x : x + side] = rng.integers(0, 256, 3)
        label, others = LABELS[number % 5], ("cat", "gnu")
        answer = tuple(rng.integers(1, 99, 3 if label == "cat" else 4) / 100)
        candidates.append(Candidate(before, after, (10, 12, 50, 60), label, label, "cat", others, answer))
    for gate in (
        ChangeGate(),
        FillGate(),
        ClipGate(),
        ChangeGate(20, 9) & greenish & FillGate(0.2),
        ScoreGate(greenish),
    ):
        verdicts = gate.judge(candidates)
        parts.add(gate.name, *((one.score, one.accepted, one.reason, dict(one.scores)) for one in verdicts))
        parts.add("texts", gate.name, gate.clip, gate.texts("cat", ("dog", "cat", "ant")))
    joined = ChangeGate(3) & FillGate(0.1) & ClipGate(background=("a", "b"))
    for gate in (joined, joined.to_dict(), [one.to_dict() for one in joined.gates]):
        parts.add("json", BBoxInpaint(gate=gate).gate)
    return parts.result()


def batch(name: str) -> dict[str, Any]:
    parts = Parts()
    paint_batches(parts, BBoxInpaint(model(name), class_names=NAMES, **{**BASE, "p": 0.8}))
    transform = BBoxInpaint(model(name), gate=FillGate(0.5), **{**BASE, "prompts": "a thing", "seed": None, "p": 0.8})
    transform.set_random_seed(9)
    paint_batches(parts, transform)
    parts.count(transform)
    return parts.result()


class Pictures(Dataset[Any]):
    """Pictures with all boxes, through a transform."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        result: dict[str, Any] = self.transform(
            image=picture(index), bboxes=BOXES, labels=LABELS, name=f"picture {index}"
        )
        return result


def concurrent_dataset(name: str) -> dict[str, Any]:
    parts = Parts()
    for seed in (5, None):
        transform = BBoxInpaint(model(name), relabel={"cat": "zebra"}, **{**BASE, "seed": seed, "p": 0.8})
        data = ConcurrentDataset(Pictures(compose(transform, A.VerticalFlip(), seed=2)))
        _load(parts, data, transform)
        # How requests met is up to the threads.
        parts.count(transform, ("requests", "rejected", "errors"))
    return parts.result()


def _load(parts: Parts, data: Any, transform: Any, **options: Any) -> None:
    for epoch in range(2):
        transform.set_epoch(epoch)
        for found in DataLoader(data, batch_size=4, collate_fn=list, **options):
            for result in found:
                _add(parts, result)


def with_workers() -> dict[str, Any]:
    """Two forked workers that share a server, which ends with this process."""
    parts = Parts()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "edits.jsonl"
        arguments = {**BASE, "p": 0.8, "gate": FillGate(0.6) & ClipGate(), "relabel": {"cat": "zebra"}}
        transform = BBoxInpaint(model("shared", "shared"), log=log, log_key="name", **arguments)
        data = Pictures(compose(transform))
        for dataset in (data, ConcurrentDataset(data)):
            _load(parts, dataset, transform, num_workers=2, multiprocessing_context="fork")
        parts.log(log, in_order=False)
    parts.count(transform, ("requests", "rejected", "errors"))
    return parts.result()


SCENARIOS = (
    box_formats,
    label_types,
    image_kinds,
    stacks_and_volumes,
    seeded_compose,
    own_random_state,
    nested_pipelines,
    replay,
    saved_pipelines,
    specs,
    swaps,
    gates,
    batch,
    concurrent_dataset,
)
