"""The gate that asks a detector, and what any detector finds, in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from inpaint_transform.core.boxes import iou
from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.labels import check_class_names, lookup
from inpaint_transform.core.protocol import Candidate
from inpaint_transform.gates.base import Gate, check_number

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


@known_fields
@dataclass(frozen=True)
class DetectorGate(Gate):
    """Asks a detector: it must find the wanted class where the box is.

    The detector runs in the process that the transform runs in; a forked DataLoader worker can only use the CPU. The
    score is the best intersection over union of the box with a detection of the wanted class.

    Attributes:
        detector: A function from an RGB image ``(h, w, 3)`` uint8 to its detections: a dict with ``"boxes"``,
            ``"labels"`` and ``"scores"``, or the three as a tuple; boxes are rows ``(x0, y0, x1, y1)`` in pixels. For a
            torchvision model use ``torchvision_detector``; an Ultralytics ``YOLO`` works as it is. A detector with
            a true attribute ``batched`` is called once, with a list of images, and returns a list.
        min_iou: The least score to accept.
        min_score: Detections that are less certain do not count.
        class_names: What the detector's labels mean: a list from label 0 on, or a dict from its labels to nouns (for
            torchvision's, which begin at 1); labels that are not in it do not count. Default: an Ultralytics model's
            own names; otherwise its labels are yours.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> def finds_a_car(image):
        ...     return {"boxes": [[10, 10, 30, 28]], "labels": [3], "scores": [0.9]}
        >>> gate = DetectorGate(finds_a_car, class_names={3: "car"})
        >>> window = np.zeros((40, 40, 3), np.uint8)
        >>> gate.judge([Candidate(window, window, (10, 10, 30, 30), noun="car")])[0].score
        0.9
    """

    detector: Detector
    min_iou: float = 0.7
    min_score: float = 0.25
    class_names: Mapping[Any, str] | Sequence[str] | None = None

    name = "detector"
    threshold = "min_iou"

    def __post_init__(self) -> None:
        if not callable(self.detector):
            raise ValueError(f"detector={self.detector!r}: give a function from an image to boxes, labels and scores")
        check_number("min_iou", self.min_iou, 0, 1)
        check_number("min_score", self.min_score, 0, 1)
        check_class_names(self.class_names)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Overlaps with what the detector found, judged."""
        found = detect(self.detector, [one.painted for one in candidates])
        scores = [self._best(one, detections) for one, detections in zip(candidates, found, strict=True)]
        return [(score, score >= self.min_iou) for score in scores]

    def _best(self, one: Candidate, found: Detections) -> float:
        names = found.names if self.class_names is None else self.class_names
        ious = [
            iou(one.box, corners)
            for corners, label, score in zip(found.boxes.tolist(), found.labels, found.scores.tolist(), strict=True)
            if score >= self.min_score and _is_wanted(label, names, one)
        ]
        return max(ious, default=0.0)


def _is_wanted(label: Any, names: Mapping[Any, str] | Sequence[str] | None, one: Candidate) -> bool:
    if names is None:
        return label in (one.label, one.noun)
    if isinstance(names, Mapping):
        name = lookup(names, label)
    else:
        name = names[int(label)] if 0 <= int(label) < len(names) else None
    return name is not None and (name == one.label or name.casefold() == one.noun.casefold())
