"""Detectors: what any of them finds, in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

Detector = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one image.

    Attributes:
        boxes: ``(N, 4)`` float, rows ``(x0, y0, x1, y1)`` in pixels.
        labels: N labels, as the detector numbers or names them.
        scores: ``(N,)`` float.
        names: What the labels mean, where the detector says so.
    """

    boxes: np.ndarray
    labels: list[Any]
    scores: np.ndarray
    names: Mapping[Any, str] | Sequence[str] | None = None


def detect(detector: Detector, images: Sequence[np.ndarray]) -> list[Detections]:
    """Run a detector on some images, in one call where it takes several.

    Args:
        detector: See ``gates.DetectorGate``.
        images: ``(h, w, 3)`` uint8, RGB, of any sizes.

    Returns:
        What it found in each.

    Raises:
        ValueError: The detector returned something else than one result an image with finite boxes and scores.
    """
    # Ultralytics, known by its shape: it reads arrays as OpenCV does, blue first, and takes a list.
    if hasattr(detector, "predict") and hasattr(detector, "names"):
        results = detector.predict([np.ascontiguousarray(image[:, :, ::-1]) for image in images], verbose=False)
    elif getattr(detector, "batched", False):
        results = detector(list(images))
    else:
        results = [detector(image) for image in images]
    if len(results) != len(images):
        raise ValueError(f"the detector gave {len(results)} results for {len(images)} images")
    return [_read(result) for result in results]


def _read(result: Any) -> Detections:
    """The detections in any of the forms that detectors use."""
    if isinstance(result, Mapping):
        parts = result["boxes"], result["labels"], result["scores"]
    elif hasattr(result, "boxes"):
        parts = result.boxes.xyxy, result.boxes.cls, result.boxes.conf
    else:
        parts = tuple(result)
    boxes, labels, scores = (_to_numpy(part) for part in parts)
    boxes, scores = boxes.reshape(-1, 4).astype(float), scores.astype(float)
    if not len(boxes) == len(labels) == len(scores):
        raise ValueError(f"the detector gave {len(boxes)} boxes, {len(labels)} labels and {len(scores)} scores")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("the detector gave a box or a score that is not finite")
    return Detections(boxes, labels.tolist(), scores, getattr(result, "names", None))


def _to_numpy(values: Any) -> np.ndarray:
    """A list or an array, or a tensor on any device."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


@dataclass(frozen=True)
class _TorchvisionDetector:
    """See ``torchvision_detector``; a class, so that it pickles."""

    model: Any
    batched: ClassVar[bool] = True

    def __call__(self, images: Sequence[np.ndarray]) -> Any:
        import torch

        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        tensors = [torch.from_numpy(image.copy()).to(device).permute(2, 0, 1).float() / 255 for image in images]
        self.model.eval()
        with torch.inference_mode():
            return self.model(tensors)


def torchvision_detector(model: Any) -> Detector:
    """A torchvision detection model for ``DetectorGate``.

    Args:
        model: A module that takes a list of ``(3, h, w)`` tensors in [0, 1] and returns a list of dicts with
            ``"boxes"``, ``"labels"`` and ``"scores"``, as those of ``torchvision.models.detection`` do. It is put
            into evaluation mode and stays on its device.
    """
    return _TorchvisionDetector(model)


def iou(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes ``(x0, y0, x1, y1)``, in [0, 1]."""
    width, height = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    shared = float(max(width, 0) * max(height, 0))
    areas = [float(max(x1 - x0, 0) * max(y1 - y0, 0)) for x0, y0, x1, y1 in (box, other)]
    union = sum(areas) - shared
    return shared / union if union else 0.0
