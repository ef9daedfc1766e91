"""Visualize: a sample or a batch as a picture with its boxes and labels, which a notebook shows by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from albumentations.core.bbox_utils import convert_bboxes_to_albumentations
from PIL import Image

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.labels import check_class_names, lookup
from inpaint_transform.faces.nested import containers
from inpaint_transform.reports import drawing as pictures
from inpaint_transform.reports.beside import beside

FORMATS = ("pascal_voc", "coco", "yolo", "albumentations")
# Smaller pictures are enlarged, so that words can be read.
LEAST_SIDE = 256
# The key under which samples carry their edits, as the transform's documentation has it.
EDITS = "inpainted"
CHANNELS = (1, 3, 4)


def visualize(
    sample: Any,
    box_format: str = "pascal_voc",
    label_field: str = "labels",
    class_names: Mapping[Any, str] | Sequence[str] | None = None,
) -> Image.Image:
    """Draw a sample with its boxes and labels, and what was edited: the box before beside the box as it is.

    A sample carries its edits with ``edits_key="inpainted"``. Those that are in the picture are numbered there, by
    their boxes; a cold one is not in it.

    Args:
        sample: What an ``A.Compose`` returns, with ``image``, ``bboxes`` and labels; a torchvision sample, a dict or
            ``(image, target)`` with ``boxes``; or ``(image, boxes)`` or ``(image, boxes, labels)``. Images are PIL
            images, ``(H, W)`` or ``(H, W, C)`` arrays, or ``(C, H, W)`` tensors; floats lie in [0, 1], so draw before
            normalising.
        box_format: How the boxes are written down, as in ``A.BboxParams``; ``tv_tensors.BoundingBoxes`` know theirs.
        label_field: Which field holds the labels; without it boxes are drawn without words.
        class_names: What the labels mean: a list from label 0 on, or a dict from labels to names. Default: the labels
            themselves.

    Returns:
        An RGB picture of at least 256 pixels on its longer side.

    Raises:
        TypeError: The sample is none of these.
        ValueError: The image, a box, the format or ``class_names`` is unusable, or there are more or fewer labels than
            boxes.

    Examples:
        >>> sample = {"image": np.zeros((100, 200, 3), np.uint8), "bboxes": [(20, 10, 60, 50)], "labels": ["car"]}
        >>> visualize(sample, "coco").size
        (256, 128)
    """
    if box_format not in FORMATS:
        raise ValueError(f"box_format={box_format!r}: use one of {', '.join(FORMATS)}")
    check_class_names(class_names)
    image, boxes, labels = _parts(sample, label_field)
    pixels = _pixels(image)
    height, width = pixels.shape[:2]
    placed = _placed(boxes, box_format, height, width)
    names = [] if labels is None else [_name(label, class_names) for label in _listed(labels)]
    if labels is not None and len(names) != len(placed):
        raise ValueError(f"sample has {len(placed)} boxes and {len(names)} labels in {label_field!r}")
    scale = max(1.0, LEAST_SIDE / max(height, width))
    size = round(width * scale), round(height * scale)
    shown = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)) if scale > 1 else pixels
    large = [tuple(round(corner * scale) for corner in box) for box in placed]
    drawn = pictures.labelled(shown, large, names)
    edited = [(edit, placed[edit["index"]]) for edit in _edits(sample) if _is_in(edit, placed)]
    if not edited:
        return Image.fromarray(drawn)
    pairs = [(edit["before"], pixels[y0:y1, x0:x1], str(edit["prompt"])) for edit, (x0, y0, x1, y1) in edited]
    return Image.fromarray(beside(drawn, [large[edit["index"]] for edit, _ in edited], pairs))


def _edits(sample: Any) -> list[Any]:
    """The edits that a sample carries."""
    found = next((part[EDITS] for part in containers(sample) if isinstance(part, Mapping) and EDITS in part), ())
    return [edit for edit in found if isinstance(edit, Mapping)]


def _is_in(edit: Mapping[str, Any], placed: Sequence[Box]) -> bool:
    """Whether an edit is in the picture, and its box can be told: a filter of boxes would have moved it."""
    index = edit.get("index")
    if not edit.get("accepted") or not isinstance(index, int) or index >= len(placed):
        return False
    x0, y0, x1, y1 = placed[index]
    return x0 < x1 and y0 < y1


def visualize_batch(
    batch: Any,
    box_format: str = "pascal_voc",
    label_field: str = "labels",
    class_names: Mapping[Any, str] | Sequence[str] | None = None,
    columns: int = 4,
    limit: int = 16,
) -> Image.Image:
    """Draw the samples of a batch, in rows.

    Args:
        batch: A list of samples; or, collated, a dict with ``image``, ``bboxes`` or ``boxes``, and labels, or
            ``(images, boxes, labels)`` or ``(images, targets)``, each with one entry a sample.
        box_format: See ``visualize``.
        label_field: See ``visualize``.
        class_names: See ``visualize``.
        columns: Samples in a row, >= 1.
        limit: Most samples to draw, >= 1.

    Returns:
        An RGB picture.

    Raises:
        TypeError: The batch is none of these, or a sample is not one.
        ValueError: As ``visualize``; or the batch is empty, or its parts differ in length.

    Examples:
        >>> images = np.zeros((3, 64, 64, 3), np.uint8)
        >>> visualize_batch((images, [[(5, 5, 30, 30)]] * 3, [["cone"]] * 3), columns=2).size
        (560, 560)
    """
    for name, count in (("columns", columns), ("limit", limit)):
        if count < 1:
            raise ValueError(f"{name}={count}: use at least 1")
    samples = _samples(batch)[:limit]
    if not samples:
        raise ValueError("batch is empty: there is nothing to draw")
    drawn = [np.array(visualize(sample, box_format, label_field, class_names)) for sample in samples]
    return Image.fromarray(pictures.grid(drawn, columns))


def _samples(batch: Any) -> list[Any]:
    """The samples of a batch, one by one."""
    if isinstance(batch, Mapping):
        columns: dict[Any, Any] = {name: value for name, value in batch.items() if _is_listed(value)}
        counts = {name: len(value) for name, value in columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"batch has parts of different lengths: {counts}; each needs one entry a sample")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(batch, tuple | list) and 2 <= len(batch) <= 3 and _are_images(batch[0]):
        counts = {index: len(part) for index, part in enumerate(batch)}
        if len(set(counts.values())) > 1:
            raise ValueError(f"batch has parts of different lengths: {list(counts.values())}; each needs one a sample")
        return list(zip(*batch, strict=True))
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return list(batch)
    raise TypeError(f"batch is a {type(batch).__name__}: give a list of samples, or (images, boxes, labels)")


def _are_images(value: Any) -> bool:
    """Whether it is the images of a batch, rather than its first sample."""
    listed = isinstance(value, list | tuple) and len(value) > 0
    return getattr(value, "ndim", 0) == 4 or (
        listed and all(isinstance(image, Image.Image) or getattr(image, "ndim", 0) == 3 for image in value)
    )


def _is_listed(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | Mapping)


def _parts(sample: Any, label_field: str) -> tuple[Any, Any, Any]:
    """Image, boxes and labels of a sample; None for what it does not have."""
    if isinstance(sample, Mapping):
        if "image" not in sample:
            raise ValueError(f"sample has no 'image'; it has {', '.join(map(str, sample)) or 'nothing'}")
        target = sample.get("target", sample)
        target = target if isinstance(target, Mapping) else sample
        return sample["image"], target.get("bboxes", target.get("boxes")), target.get(label_field)
    if isinstance(sample, tuple | list) and 1 <= len(sample) <= 3:
        image, *rest = sample
        if rest and isinstance(rest[0], Mapping):
            return image, rest[0].get("bboxes", rest[0].get("boxes")), rest[0].get(label_field)
        return image, *rest, *[None] * (2 - len(rest))
    raise TypeError(
        f"sample is a {type(sample).__name__}: give the dict that a Compose returns, (image, target) or "
        f"(image, boxes, labels)"
    )


def _pixels(image: Any) -> np.ndarray:
    """``(H, W, 3)`` uint8."""
    if isinstance(image, Image.Image):
        return np.array(image.convert("RGB"))
    tensor = hasattr(image, "detach")
    array = image.detach().cpu().numpy() if tensor else np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and (tensor or array.shape[2] not in CHANNELS) and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in CHANNELS or 0 in array.shape:
        raise ValueError(f"image has shape {array.shape}; give (H, W), (H, W, C) or a (C, H, W) tensor of 1, 3 or 4")
    if np.issubdtype(array.dtype, np.floating):
        array = np.rint(np.nan_to_num(array).clip(0, 1) * 255)
    elif array.dtype == np.uint16:
        array = array // 257
    elif array.dtype != np.uint8:
        raise ValueError(f"image has dtype {array.dtype}; give uint8, uint16 or floats in [0, 1]")
    array = array.astype(np.uint8)
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[:, :, :3])


def _placed(boxes: Any, box_format: str, height: int, width: int) -> list[Box]:
    """The boxes in whole pixels."""
    if boxes is None or len(boxes) == 0:
        return []
    if hasattr(boxes, "canvas_size"):
        from inpaint_transform.faces.torchvision_types import read_boxes

        return pixel_boxes.from_pixels(read_boxes(boxes)[0], height, width)
    rows = boxes.detach().cpu().numpy() if hasattr(boxes, "detach") else np.asarray(boxes, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 4:
        raise ValueError(f"boxes have the shape {rows.shape}; give one row of four numbers a box")
    rows = rows[:, :4].astype(np.float64)
    if box_format == "pascal_voc":
        return pixel_boxes.from_pixels(rows, height, width)
    normal = convert_bboxes_to_albumentations(rows, box_format, (height, width)) if box_format != FORMATS[3] else rows
    return pixel_boxes.from_normalized(normal, height, width)


def _listed(labels: Any) -> list[Any]:
    # Collating leaves lists of scalar tensors, and arrays taken apart leave NumPy's scalars.
    plain = labels.tolist() if hasattr(labels, "tolist") else labels
    return [label.item() if hasattr(label, "item") else label for label in plain]


def _name(label: Any, names: Mapping[Any, str] | Sequence[str] | None) -> str:
    number = int(label) if isinstance(label, float) and label.is_integer() else label
    if isinstance(names, Mapping):
        return str(lookup(names, number) or number)
    if names is not None and isinstance(number, int) and 0 <= number < len(names):
        return names[number]
    return str(number)
