"""The golden scenarios of the torchvision face; see ``golden``, which calls them by name."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import vision  # noqa: F401 - before anything of torchvision
from golden_samples import (
    BASE,
    BOXES,
    HEIGHT,
    IDS,
    KINDS,
    LABELS,
    NAMES,
    POINTS,
    SCENE,
    WIDTH,
    Case,
    Parts,
    instances,
    model,
    of_kind,
    paint_batches,
    picture,
    semantic,
)
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from inpaint_transform.torchvision import BBoxInpaint

SIZE = (HEIGHT, WIDTH)
WHOLE = [[0, 0, WIDTH, HEIGHT]]


def run_case(name: str, case: Case) -> dict[str, Any]:
    parts = Parts()
    with tempfile.TemporaryDirectory() as folder:
        transform = BBoxInpaint(**case.transform_arguments(name, Path(folder)))
        for epoch in case.epochs:
            transform.set_epoch(epoch)
            for number in range(case.pictures):
                image = picture(number)
                painted, after = transform(_chw(image), _target(case, number))
                parts.add("pixels", painted)
                parts.add("boxes", after["boxes"])
                parts.add("labels", after["labels"], *(after[field] for field in case.fields))
                parts.add("masks", after.get("masks"), after.get("semantic"))
                parts.add("keypoints", after.get("points"))
                parts.compare(image, _hwc(painted), BOXES if case.boxes else WHOLE)
        parts.log(Path(folder) / "edits.jsonl")
    parts.count(transform)
    return parts.result()


def _target(case: Case, number: int) -> dict[str, Any]:
    target = {"boxes": _boxes(case.rows), "labels": torch.tensor(case.labels) if case.ids else case.labels}
    target |= {"name": f"picture {number}", "scene": SCENE}
    target |= {field: list(values) for field, values in case.fields.items()}
    if case.masks:
        target["masks"] = tv_tensors.Mask(torch.from_numpy(np.stack(instances())))
    if case.points:
        target["semantic"] = tv_tensors.Mask(torch.from_numpy(semantic()))
        if hasattr(tv_tensors, "KeyPoints"):  # older versions have none
            target["points"] = tv_tensors.KeyPoints(torch.tensor(POINTS), canvas_size=SIZE)
    return target


def _boxes(rows: Any, box_format: str = "XYXY", dtype: torch.dtype = torch.float32) -> Any:
    tensor = torch.as_tensor(rows, dtype=dtype).reshape(len(rows), -1 if len(rows) else 4)
    return tv_tensors.BoundingBoxes(tensor, format=box_format, canvas_size=SIZE)


def _chw(image: np.ndarray) -> Any:
    return tv_tensors.Image(torch.from_numpy(image.copy()).permute(2, 0, 1))


def _hwc(image: Any) -> np.ndarray:
    return np.asarray(image).transpose(1, 2, 0)


def box_formats(name: str) -> dict[str, Any]:
    parts = Parts()
    rows = {
        "XYXY": [[40, 30, 120, 80]],
        "XYWH": [[40, 30, 80, 50]],
        "CXCYWH": [[80, 55, 80, 50]],
        "XYWHR": [[50, 70, 80, 40, 30], [150, 40, 40, 60, -12]],
        "CXCYWHR": [[90, 60, 80, 40, -20], [190, 100, 90, 60, 45]],
        "XYXYXYXY": [[60, 20, 130, 50, 110, 95, 40, 65]],
    }
    for shape in ("box", "ellipse"):
        transform = BBoxInpaint(model(name), shape=shape, **BASE)
        for box_format, own in rows.items():
            for dtype in (torch.float32, torch.float64):
                boxes = _boxes(own, box_format, dtype)
                painted, after = transform(_chw(picture(1)), {"boxes": boxes, "labels": LABELS[: len(own)]})
                parts.add(f"pixels {box_format}", painted)
                parts.add("boxes", after["boxes"])
                parts.compare(picture(1), _hwc(painted), _upright(boxes))
        parts.count(transform)
    return parts.result()


def _upright(boxes: Any) -> list[list[float]]:
    """The upright rectangles around boxes of any format."""
    wanted = "XYXYXYXY" if boxes.shape[1] > 4 else "XYXY"
    plain = boxes.as_subclass(torch.Tensor).double()
    rows = v2.functional.convert_bounding_box_format(
        plain, old_format=boxes.format, new_format=tv_tensors.BoundingBoxFormat[wanted]
    )
    corners = rows.reshape(len(rows), -1, 2)
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1).tolist()


def image_kinds(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), **BASE)
    for dtype, channels in KINDS:
        image = of_kind(picture(2, channels), dtype)
        for given in (_chw(image), torch.from_numpy(image).permute(2, 0, 1)):
            painted, _ = transform(given, {"boxes": _boxes(BOXES), "labels": LABELS})
            parts.add(f"pixels {dtype} {channels}", painted)
            parts.compare(image, _hwc(painted), BOXES)
    parts.count(transform)
    return parts.result()


def pillow_images(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), **BASE)
    for mode in ("L", "RGB", "RGBA", "I;16"):
        if mode == "I;16":
            image = Image.fromarray(picture(3)[:, :, 0].astype(np.uint16) * 257)
        else:
            image = Image.fromarray(picture(3)).convert(mode)
        painted, _ = transform(image, {"boxes": _boxes(BOXES), "labels": LABELS})
        parts.add(f"pixels {mode}", painted)
        parts.compare(np.asarray(image), np.asarray(painted), BOXES)
    parts.count(transform)
    return parts.result()


def videos(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), stale="clear", **BASE)
    frames = torch.stack([torch.from_numpy(picture(number)).permute(2, 0, 1) for number in range(3)])
    layouts = (frames, frames.to(memory_format=torch.channels_last), frames.float() / 255)
    for given in (*(kind(frame) for frame in layouts for kind in (tv_tensors.Video, torch.Tensor)), _chw(picture(4))):
        data = {"video": given, "boxes": _boxes(BOXES), "labels": LABELS, "again": Image.fromarray(picture(5))}
        painted = transform(data)
        parts.add("pixels", painted["video"], painted["again"])
    parts.count(transform)
    return parts.result()


def label_layouts(name: str) -> dict[str, Any]:
    """Where labels are found, and how new ones are put back."""
    parts = Parts()
    own = {"image": _chw(picture(6)), "boxes": _boxes(BOXES)}
    image, boxes = own.values()
    layouts: list[Any] = [
        {**own, "gt_Labels": tuple(LABELS)},
        {**own, "category_id": list(IDS)},
        {**own, "categories": np.array(LABELS)},
        {**own, "labels": torch.tensor(IDS, dtype=torch.float32)},
        {**own, "labels": np.array(IDS, np.int16)},
        {**own, "labels": [torch.tensor(label) for label in IDS]},
        {**own, "label_names": LABELS[:2], "label_ids": torch.tensor(IDS)},
        {"image": image, "label": 5, "target": [boxes, list(LABELS)]},
        {"labels": ["indoor"] * 5, "image": image, "target": {"boxes": boxes, "category_id": list(IDS)}},
        (image, boxes, torch.tensor(IDS)),
        [image, boxes, torch.rand(5, generator=torch.Generator().manual_seed(0)), torch.tensor(IDS)],
        ({"image": image, "boxes": boxes}, list(LABELS)),
    ]
    names = {**NAMES, **{word: word for word in NAMES.values()}}
    transform = BBoxInpaint(model(name), class_names=names, relabel={"cat": "zebra", 3: 20}, **BASE)
    for number, data in enumerate(layouts):
        parts.add(f"sample {number}", transform(data))
    parts.count(transform)
    return parts.result()


def labels_getter(name: str) -> dict[str, Any]:
    parts = Parts()
    data = {"image": _chw(picture(7)), "boxes": _boxes(BOXES), "labels": [9] * 5, "meta": {"kind": list(LABELS)}}
    relabelled = {"relabel": {"cat": "zebra"}, "linked_fields": {"labels": None}}
    for arguments in (
        {"label_field": "kind"},
        {"label_field": "kind", **relabelled},
        {"labels_getter": lambda sample: sample["meta"]["kind"]},
        {"labels_getter": lambda sample: sample["meta"]["kind"], **relabelled},
        {"labels_getter": None, "prompts": "a thing"},
    ):
        transform = BBoxInpaint(model(name), **{**BASE, **arguments})
        parts.add("samples", transform(data))
    parts.count(transform)
    return parts.result()


def generator(name: str) -> dict[str, Any]:
    """Without a seed torch's generator decides, beside other transforms."""
    parts = Parts()
    transform = BBoxInpaint(model(name), **{**BASE, "seed": None, "p": 0.6, "num_boxes": (1, 3)})
    with torch.random.fork_rng(devices=[]):
        for pipeline in (transform, v2.Compose([v2.RandomHorizontalFlip(), pickle.loads(pickle.dumps(transform))])):
            torch.manual_seed(13)
            for number in range(8):
                painted, after = pipeline(_chw(picture(number)), {"boxes": _boxes(BOXES), "labels": LABELS})
                parts.add("pixels", painted)
                parts.add("boxes", after["boxes"])
    parts.count(transform)
    return parts.result()


def batch(name: str) -> dict[str, Any]:
    parts = Parts()
    transform = BBoxInpaint(model(name), class_names=NAMES, **{**BASE, "seed": None, "p": 0.8})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        paint_batches(parts, transform)
    paint_batches(parts, BBoxInpaint(model(name), class_names=NAMES, **BASE))
    parts.count(transform)
    return parts.result()
