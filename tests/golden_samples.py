"""What the golden scenarios have in common: the sample, the cases that both faces run, and digests of what came out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from inpaint_transform import ModelSpec
from inpaint_transform.batch import BatchInpaint
from inpaint_transform.gates import ChangeGate, ClipGate, DetectorGate, FillGate, ScoreGate
from inpaint_transform.swaps import Swap

HEIGHT, WIDTH = 120, 200
# Pixel corners: the first two overlap, and the second overlaps the last; the third is cut off by the border, and the
# fourth is below the smallest size.
BOXES = [[20, 30, 80, 80], [60, 20, 130, 90], [150, 60, 200, 120], [5, 5, 25, 25], [100, 70, 150, 115]]
LABELS = ["cat", "dog", "bird", "cat", "ant"]
IDS = [3, 7, 12, 3, 1]
NAMES = {1: "ant", 3: "cat", 7: "dog", 12: "bird", 20: "zebra"}
POINTS = [(50.0, 60.0), (70.5, 50.25), (120.0, 80.0), (145.0, 50.0), (5.0, 118.0)]
SCENE = {"weather": ["in fog", "in rain", "at night"]}
# What of a log line and of the manifest is never the same twice.
VOLATILE = {"time", "milliseconds", "versions", "crop"}
COUNTS = ("requests", "batches", "batch_sizes", "rejected", "errors")


def model(name: str, serving: str = "local") -> ModelSpec:
    """A model of the scenario's own, so that its counters are too."""
    return ModelSpec(f"golden/{name}", device="cpu", dtype="float32", serving=serving)


def picture(number: int, channels: int = 3) -> np.ndarray:
    """A soft gradient with grain, ``(H, W, channels)`` uint8."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    slopes = rng.integers(1, 5, (2, channels))
    base = (y[:, :, None] * slopes[0] + x[:, :, None] * slopes[1]) // 8
    return (base + rng.integers(0, 90, (HEIGHT, WIDTH, channels))).astype(np.uint8)


def instance(box: Sequence[int]) -> np.ndarray:
    """The ellipse in a box: ``(H, W)`` uint8."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    # Twice the distances, in whole numbers.
    inside = ((2 * x + 1 - x0 - x1) * (y1 - y0)) ** 2 + ((2 * y + 1 - y0 - y1) * (x1 - x0)) ** 2
    return (inside <= ((x1 - x0) * (y1 - y0)) ** 2).astype(np.uint8)


def instances() -> list[np.ndarray]:
    """An instance mask for each box."""
    return [instance(box) for box in BOXES]


def semantic() -> np.ndarray:
    """A mask of the first two objects and of some ground: ``(H, W)`` uint8."""
    mask = instance(BOXES[0]) + 2 * instance(BOXES[1])
    mask[110:, :90] = 5
    return mask


@dataclass(frozen=True)
class Case:
    """A sample and arguments that both faces run.

    Attributes:
        arguments: Arguments beyond ``BASE``.
        masks: Whether the sample has instance masks.
        points: Whether it has a semantic mask and keypoints.
        ids: Whether its labels are integers.
        boxes: Whether it has boxes at all.
        fields: Further values, one a box.
        log: Whether to write a log, with crops.
        epochs: The epochs to run, with the same pictures.
        pictures: How many pictures.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False
    points: bool = False
    ids: bool = False
    boxes: bool = True
    fields: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    log: bool = False
    epochs: tuple[int, ...] = (0,)
    pictures: int = 4

    @property
    def labels(self) -> list[Any]:
        """The label of each box."""
        return list(IDS if self.ids else LABELS) if self.boxes else []

    @property
    def rows(self) -> list[list[int]]:
        """The pixel corners of each box."""
        return [list(box) for box in BOXES] if self.boxes else []

    def transform_arguments(self, name: str, folder: Path) -> dict[str, Any]:
        """All arguments of the transform."""
        logged = {"log": folder / "edits.jsonl", "log_key": "name", "log_crops": True} if self.log else {}
        names = {"class_names": NAMES} if self.ids else {}
        return {"model": model(name), **BASE, **names, **logged, **self.arguments}


BASE = {"prompts": "a {label}", "num_boxes": 3, "seed": 5, "p": 1.0}


def greenish(original, painted, label, box):
    """A gate: a score from the painted pixels, the label and the box."""
    x0, y0, x1, y1 = box
    return int(painted[y0:y1, x0:x1, 1].sum() + len(label)) % 100 / 100


def changed_much(original, painted, label, box):
    """A gate that says yes or no."""
    return bool(np.abs(painted.astype(int) - original).sum() % 3)


def broken(original, painted, label, box):
    """A gate that fails for one class."""
    if label == "dog":
        raise RuntimeError("it does not know dogs")
    return True


def finds_the_bright(image: np.ndarray) -> dict[str, Any]:
    """A detector: a window's brighter half is a dog, its darker half a cat."""
    height, width = image.shape[:2]
    rows, columns = sorted([height // 4, height - height // 4]), sorted([width // 4, width - width // 4])
    label = "dog" if int(image.sum()) % 2 else "cat"
    return {
        "boxes": [[columns[0], rows[0], columns[1], rows[1]], [0, 0, width, height]],
        "labels": [label, "bird"],
        "scores": [0.9, 0.1],
    }


def every_class(image: np.ndarray) -> tuple[list[Any], list[Any], list[Any]]:
    """A detector that numbers its classes and finds all of them in the middle of the window."""
    height, width = image.shape[:2]
    box = [width / 4 + int(image[0, 0, 0]) % 9, height / 4, width * 3 / 4, height * 3 / 4]
    return [box] * 4, [0, 1, 2, 3], [0.9, 0.8, 0.7, 0.6]


def told(label, slots, rng):
    """Prompts as a function."""
    return f"{label} number {rng.randint(1, 5)} {rng.choice(slots['weather'])}"


SIZED = Swap({"cat": ["ant", "zebra"], "bird": {"zebra": 1, "bird": 2}}, sizes={"ant": 20, "zebra": 60})

CASES: dict[str, Case] = {
    "one box of all": Case({"num_boxes": 1}),
    "defaults but p": Case({"prompts": "a photo of a {label}", "num_boxes": 1, "seed": 0}),
    "p half": Case({"p": 0.5}, pictures=12),
    "seeds and epochs": Case({"p": 0.7, "num_boxes": (1, 2)}, epochs=(0, 1, 2, 0), pictures=4),
    "schedule of p": Case(
        {"p": 0.9, "schedule": {"epochs": 6, "start": 1, "warmup": 2, "off_last": 1}}, epochs=(*range(7),)
    ),
    "schedule of box_p": Case(
        {"box_p": 0.8, "schedule": {"epochs": 4, "warmup": 3, "scales": "box_p"}}, epochs=(*range(4),)
    ),
    # Where and how much
    "shape ellipse": Case({"shape": "ellipse"}),
    "shape mask": Case({"shape": "mask"}, masks=True),
    "shape mask not grown": Case({"shape": "mask", "mask_dilation": 0.0, "protect": False}, masks=True),
    "shape mask by field": Case(
        {"shape": "mask", "mask_field": "position"}, masks=True, fields={"position": [4, 3, 2, 1, 0]}
    ),
    "shape mask without masks": Case({"shape": "mask"}),
    "box with masks": Case({}, masks=True),
    "ellipse with masks": Case({"shape": "ellipse", "num_boxes": 5}, masks=True),
    "unprotected": Case({"protect": False, "num_boxes": 5}),
    "unprotected with masks": Case({"protect": False, "num_boxes": 5}, masks=True),
    "feather none": Case({"feather": 0.0}),
    "feather wide": Case({"feather": 0.5, "shape": "ellipse"}),
    "feather without border": Case({"feather": 0.2, "match_border": False}),
    "hard edges without border": Case({"feather": 0.0, "match_border": False}),
    "context least": Case({"context": 1.0}),
    "context large": Case({"context": 3.7}),
    "strength fixed": Case({"strength": 0.4}),
    "strength range": Case({"strength": (0.2, 0.9)}),
    # Which boxes
    "num_boxes range": Case({"num_boxes": (1, 4)}, pictures=8),
    "num_boxes all": Case({"num_boxes": 9, "min_box_size": 8}),
    "box_p": Case({"box_p": 0.5}, pictures=8),
    "box_p by label": Case({"box_p": {"cat": 0.9, "dog": 0.3, "ant": 0.5}}, pictures=8),
    "box_p by id": Case({"box_p": {3: 0.9, 7: 0.3}}, ids=True, pictures=8),
    "include labels": Case({"include_labels": ["dog", "ant"]}),
    "exclude labels": Case({"exclude_labels": ["dog", "ant"]}),
    "area range": Case({"area_range": (0.09, 0.15), "num_boxes": 5}),
    "not truncated": Case({"truncated": False, "num_boxes": 5}),
    "no box": Case(boxes=False),
    "no box random": Case({"when_no_box": "random", "prompts": ["a puddle", "a leaf"]}, boxes=False),
    "no box random by label": Case(
        {"when_no_box": "random", "prompts": {"cat": "a {label}", "dog": "dog"}}, boxes=False
    ),
    "no box random by class names": Case({"when_no_box": "random", "class_names": ["cat", "dog"]}, boxes=False),
    # Words
    "prompts list": Case({"prompts": ["a {label}", "one {label}", "the {label}"], "negative_prompt": "blurry"}),
    "prompts by label": Case(
        {"prompts": {"cat": ["a cat", "two cats"], "dog": "a {label}"}, "include_labels": ["cat", "dog"]}
    ),
    "prompts function": Case({"prompts": told, "prompt_key": "scene"}),
    "attributes": Case(
        {"prompts": "a {color} {label}, {size}", "attributes": {"color": ["red", "blue"], "size": ["s", "l"]}}
    ),
    "slots of the sample": Case(
        {"prompts": "a {color} {label} {weather}", "attributes": {"color": ["red", "blue"]}, "prompt_key": "scene"}
    ),
    "ids": Case(ids=True),
    "ids from text keys": Case({"class_names": {str(key): name for key, name in NAMES.items()}}, ids=True),
    "ids from a list": Case({"class_names": [f"thing {number}" for number in range(13)]}, ids=True),
    "second label field": Case({"label_field": "kind"}, fields={"kind": ["a", "b", "c", "d", "e"]}),
    # Annotations that get stale
    "stale keep": Case({"stale": "keep"}, masks=True, points=True),
    "stale skip": Case({"stale": "skip"}, points=True),
    "stale skip with masks": Case({"stale": "skip", "shape": "mask"}, masks=True, points=True),
    "stale clear": Case({"stale": "clear"}, masks=True, points=True),
    "stale clear own mask": Case({"stale": "clear", "shape": "mask"}, masks=True, points=True),
    "stale clear ellipse": Case({"stale": "clear", "shape": "ellipse", "protect": False}, points=True),
    # Swaps
    "swap": Case({"relabel": {"cat": "a long zebra", "ant": "bird"}}),
    "swap to a list": Case({"relabel": {"cat": ["dog", "zebra"], "dog": ["cat", "dog", "gnu"]}}),
    "swap by weight": Case({"relabel": {"cat": {"dog": 1, "cat": 3}, "bird": {"gnu": 5, "ant": 1}}}),
    "swap ids": Case({"relabel": {3: [20, 7], 1: {12: 1, 1: 2}}}, ids=True),
    "swap with sizes": Case({"relabel": SIZED, "num_boxes": 5, "min_box_size": 8}),
    "swap balanced": Case({"relabel": Swap.balanced({"cat": 40, "dog": 10, "bird": 4, "ant": 1}), "num_boxes": 5}),
    "swap with linked fields": Case(
        {
            "relabel": {"cat": "zebra", "dog": "zebra"},
            "linked_fields": {"category_id": {"zebra": 20}, "crowd": None},
            "num_boxes": 5,
        },
        fields={"category_id": [3, 7, 12, 3, 1], "crowd": [0, 1, 0, 1, 0]},
    ),
    # Who judges
    "retries none": Case({"retries": 0}, pictures=8),
    "retries many": Case({"retries": 6}),
    "gate change": Case({"gate": ChangeGate(min_inside=40.0, max_outside=20.0)}),
    "gate fill": Case({"gate": FillGate(0.8)}),
    "gate clip": Case({"gate": ClipGate(min_margin=0.05), "relabel": {"cat": "zebra"}}),
    "gate clip words": Case(
        {"gate": ClipGate("other", template="one {noun}", background=("grass", "sky")), "class_names": NAMES}, ids=True
    ),
    "gate function": Case({"gate": greenish}),
    "gate yes or no": Case({"gate": changed_much, "relabel": {"cat": "zebra"}}),
    "gate score": Case({"gate": ScoreGate(greenish, min_score=0.3), "shape": "ellipse"}),
    "gate detector": Case({"gate": DetectorGate(finds_the_bright, min_iou=0.3)}),
    "gate detector by number": Case(
        {"gate": DetectorGate(every_class, min_iou=0.5, class_names=["cat", "dog", "bird", "ant"])}
    ),
    "gates joined": Case({"gate": ChangeGate() & FillGate(0.6) & ClipGate() & greenish}),
    "gates from json": Case(
        {"gate": [{"gate": "fill", "min_fill": 0.7}, {"gate": "change"}, {"gate": "clip", "model": "tiny"}]}
    ),
    "gate fails and is skipped": Case({"gate": broken, "on_error": "skip", "num_boxes": 1}, pictures=8),
    # The log
    "log": Case({"gate": FillGate(0.7) & ClipGate(), "relabel": {"cat": "zebra"}}, log=True, epochs=(0, 3)),
    "log with masks": Case({"shape": "mask", "feather": 0.2}, log=True, masks=True),
    "log without boxes": Case({"when_no_box": "random", "prompts": "a leaf", "num_boxes": 1}, log=True, boxes=False),
}

# dtype and channels; None is an image without a channel axis.
KINDS = [(dtype, channels) for dtype in ("uint8", "uint16", "float32") for channels in (1, 3, 4, 5)]


def of_kind(image: np.ndarray, dtype: str) -> np.ndarray:
    """An 8-bit image as another type of the same range."""
    if dtype == "float32":
        return (image / np.float32(255)).astype(np.float32)
    return image.astype(np.uint16) * 257 + image % 7 if dtype == "uint16" else image


class Parts:
    """Digests of what a scenario gave, one for each part of it, so that a difference can be located."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}
        self._plain: dict[str, Any] = {}

    def add(self, part: str, *values: Any) -> None:
        """Take values into a part's digest: arrays, tensors, pictures and JSON values in any nesting."""
        for value in values:
            _feed(self._hashes.setdefault(part, hashlib.blake2b(digest_size=8)), value)

    def note(self, part: str, value: Any) -> None:
        """Record a JSON value as it is."""
        self._plain[part] = json.loads(json.dumps(value))

    def compare(self, before: np.ndarray, after: np.ndarray, boxes: Iterable[Sequence[float]]) -> None:
        """Note whether pixels ``(H, W, ...)`` outside the boxes, given as corners, are equal, and whether any changed.

        Args:
            before: The image as it went in.
            after: The image as it came out.
            boxes: What may have been painted.
        """
        outside = np.ones(before.shape[:2], bool)
        for x0, y0, x1, y1 in boxes:
            left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
            outside[top : int(np.ceil(y1)), left : int(np.ceil(x1))] = False
        equal = before.dtype == after.dtype and np.array_equal(before[outside], after[outside])
        self._plain["outside equal"] = self._plain.get("outside equal", True) and bool(equal)
        painted = not np.array_equal(before, after)
        self._plain["images painted"] = self._plain.get("images painted", 0) + painted

    def count(self, transform: Any, names: Sequence[str] = COUNTS) -> None:
        """Record a transform's counters, without those that measure time and memory."""
        stats = transform.stats()
        engine = stats.pop("inpainter")
        for later in ("unpainted", "note"):  # what the recordings do not have
            stats.pop(later, None)
        self.note("stats", {**stats, "engine": {name: engine[name] for name in names}})

    def log(self, path: Path, in_order: bool = True) -> None:
        """Take in the lines of a log, if there is one, and the pictures beside it."""
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        kept = [json.dumps(without(line, VOLATILE)) for line in lines]
        self.add("log", kept if in_order else sorted(kept))
        for line in lines if in_order else []:
            if line["crop"] is not None:
                self.add("crops", Image.open(path.with_name(f"{path.name}.crops") / line["crop"]))

    def result(self) -> dict[str, Any]:
        """A hex digest for each part, and the values that were noted."""
        return {**self._plain, **{part: found.hexdigest() for part, found in self._hashes.items()}}


def without(value: Any, names: set[str]) -> Any:
    """JSON values without the keys of some names, at any depth."""
    if isinstance(value, Mapping):
        return {key: without(held, names) for key, held in value.items() if key not in names}
    return [without(held, names) for held in value] if isinstance(value, list) else value


def _feed(found: Any, value: Any) -> None:
    """Take a value into a digest, type and all."""
    found.update(f"<{type(value).__name__}>".encode())
    if isinstance(value, Mapping):
        for key, held in value.items():
            _feed(found, key)
            _feed(found, held)
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        found.update(str(len(value)).encode())
        for held in value:
            _feed(found, held)
    elif isinstance(value, torch.Tensor):
        plain = value.detach().as_subclass(torch.Tensor).contiguous()
        _feed(found, plain.numpy())
    elif isinstance(value, Image.Image):
        found.update(f"{value.mode}{value.size}".encode())
        found.update(value.tobytes())
    elif isinstance(value, np.ndarray):
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bytes):
        found.update(value)
    elif value is None or isinstance(value, str | int | float | bool | np.generic):
        # Not repr: that of NumPy's numbers differs between its versions.
        found.update(str(value.item() if isinstance(value, np.generic) else value).encode() + b"\0")
    elif dataclasses.is_dataclass(value):
        _feed(found, dataclasses.asdict(value))
    else:
        raise TypeError(f"a {type(value).__name__} has no digest")


def paint_batches(parts: Parts, transform: Any) -> None:
    """Put tensors, lists and tuples through ``BatchInpaint``."""
    paint = BatchInpaint(transform)
    images = torch.stack([torch.from_numpy(picture(number)).permute(2, 0, 1) for number in range(6)])
    boxes = [torch.tensor(BOXES, dtype=torch.float32)[: 5 - number] for number in range(6)]
    ids = [torch.tensor(IDS)[: 5 - number] for number in range(6)]
    smaller = [image[:, :, : 200 - 9 * number] / 255 for number, image in enumerate(images)]
    fitting = [torch.minimum(rows, torch.tensor([199 - 9 * number, HEIGHT] * 2)) for number, rows in enumerate(boxes)]
    for epoch in range(2):
        transform.set_epoch(epoch)
        for given, rows in ((images, boxes), (smaller, fitting), (tuple(smaller), fitting)):
            painted = paint(given, rows, ids)
            parts.add("pixels", painted)
            for before, after, own in zip(given, painted, rows, strict=True):
                parts.compare(before.permute(1, 2, 0).numpy(), after.permute(1, 2, 0).numpy(), own.tolist())
