"""Mini-batches in the main process: a transform that paints a collated batch in one call of the model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label, plain_label
from inpaint_transform.core.plan import Scene
from inpaint_transform.faces.editor import Editor

# Grey, colour, colour with transparency: what is last instead of first is (H, W, C).
CHANNELS = (1, 3, 4)

_Images = TypeVar("_Images", torch.Tensor, list[torch.Tensor], tuple[torch.Tensor, ...])


class BatchInpaint:
    """Paints collated batches in the main process, in one call of the model.

    For the place where Kornia and CutMix work: after collating, or in Lightning's ``on_after_batch_transfer``. Images
    on a GPU go to the CPU, where windows are cut and blended, and come back to their device; calling before the
    transfer saves that. With ``seed=int`` the edits depend on the images, as in the transform.

    Args:
        transform: A ``BBoxInpaint`` of either face: whose recipe, model, ``p``, ``seed``, ``on_error``, epoch and
            counters to use.

    Raises:
        TypeError: ``transform`` is not a ``BBoxInpaint``.
        ValueError: It has ``prompt_key`` or ``relabel``, for which a collated batch has no place.

    Examples:
        >>> from inpaint_transform import BBoxInpaint
        >>> paint = BatchInpaint(BBoxInpaint("tiny", prompts={1: "a red blood cell"}, p=1.0, seed=0))
        >>> images = torch.full((2, 3, 96, 96), 220, dtype=torch.uint8)
        >>> boxes = [torch.tensor([[20.0, 20.0, 60.0, 60.0]]), torch.zeros(0, 4)]
        >>> painted = paint(images, boxes, [torch.tensor([1]), torch.tensor([])])
        >>> painted.shape, (painted[0] != images[0]).any().item(), (painted[1] != images[1]).any().item()
        (torch.Size([2, 3, 96, 96]), True, False)
    """

    def __init__(self, transform: Any) -> None:
        if not isinstance(getattr(transform, "editor", None), Editor):
            raise TypeError(f"transform is a {type(transform).__name__}; give the BBoxInpaint itself, not its Compose")
        if transform.editor.recipe.relabel is not None:
            raise ValueError(
                "relabel rewrites labels, which a painter of batches does not give back; use the transform in the "
                "data set, with ConcurrentDataset for large batches"
            )
        if transform.prompt_key is not None:
            raise ValueError(
                f"prompt_key={transform.prompt_key!r} reads slots from a sample, which a collated batch is not; use "
                f"attributes, or ConcurrentDataset"
            )
        self.transform = transform

    def __call__(
        self,
        images: _Images,
        boxes: Sequence[torch.Tensor],
        labels: Sequence[torch.Tensor | Sequence[Label]] | None = None,
    ) -> _Images:
        """Paint a batch.

        Args:
            images: ``(B, C, H, W)``, or a list or tuple of ``(C, H, W)`` of any sizes; uint8, or float32 in [0, 1].
                Never written to.
            boxes: For each image ``(N, 4)`` pixel corners ``x0, y0, x1, y1``; ``N`` may be 0.
            labels: For each image one label a box, as a tensor or a list. None: without labels.

        Returns:
            The images, in the same container, shapes, dtype and device; pixels outside the boxes are bit-equal.

        Raises:
            TypeError: An image is not a uint8 or float32 tensor.
            ValueError: Shapes or counts do not fit, or float values leave [0, 1].
            InpaintError: Painting failed, with ``on_error="raise"``.
        """
        _check_batch(images, boxes, labels)
        edits = [
            self._draw(image, boxes[number], None if labels is None else labels[number], number)
            for number, image in enumerate(images)
        ]
        chosen = [number for number, wanted in enumerate(edits) if wanted]
        if not chosen:
            return images
        originals = [_to_numpy(images[number]) for number in chosen]
        painted, _ = self.transform.editor.paint_each(originals, [edits[number] for number in chosen])
        results = list(images)
        for number, original, new in zip(chosen, originals, painted, strict=True):
            if new is not original:
                chw = np.ascontiguousarray(new.transpose(2, 0, 1))
                results[number] = torch.from_numpy(chw).to(images[number].device)
        if isinstance(images, torch.Tensor):
            return torch.stack(results)
        return type(images)(results)

    def _draw(
        self, image: torch.Tensor, corners: torch.Tensor, labels: torch.Tensor | Sequence[Label] | None, number: int
    ) -> list[Edit]:
        transform = self.transform
        rows = np.asarray(corners.detach().cpu(), dtype=np.float64).reshape(-1, 4)
        names = None if labels is None else _listed(labels)
        if names is not None and len(names) != len(rows):
            raise ValueError(f"labels[{number}] has {len(names)} labels for {len(rows)} boxes; give one label a box")
        # The torchvision face has no generator of its own.
        stream: random.Random | None = getattr(transform, "py_random", None)
        return transform.editor.draw(_Image(image, rows, names), transform.p, stream)


class _Image:
    """One image of a batch with its boxes, read for the editor."""

    def __init__(self, image: torch.Tensor, rows: np.ndarray, labels: Sequence[Label] | None) -> None:
        self._image = image
        self._rows = rows
        self._labels = labels

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        height, width = self._image.shape[-2:]
        return _to_numpy(self._image), self._rows / (width, height, width, height)

    def labels(self) -> Sequence[Label] | None:
        return self._labels if len(self._rows) else ()

    def scene(self) -> Scene:
        height, width = self._image.shape[-2:]
        return Scene(height, width, pixel_boxes.from_pixels(self._rows, height, width), self._labels)


def _check_batch(images: Any, boxes: Any, labels: Any) -> None:
    if isinstance(images, torch.Tensor):
        if images.ndim != 4:
            raise ValueError(f"images has shape {tuple(images.shape)}; give (B, C, H, W), or a list of (C, H, W)")
    elif not isinstance(images, list | tuple):
        raise TypeError(f"images is a {type(images).__name__}; give a (B, C, H, W) tensor or a list of (C, H, W)")
    for name, values in (("boxes", boxes), ("labels", labels)):
        if values is not None and (isinstance(values, Mapping | str) or len(values) != len(images)):
            raise ValueError(f"{name} must be a list with one entry for each of the {len(images)} images")
    for number, image in enumerate(images):
        if not isinstance(image, torch.Tensor) or image.dtype not in (torch.uint8, torch.float32):
            kind = image.dtype if isinstance(image, torch.Tensor) else type(image).__name__
            raise TypeError(f"images[{number}] is {kind}; give uint8, or float32 in [0, 1], before normalising")
        if image.ndim != 3 or (image.shape[0] not in CHANNELS and image.shape[2] in CHANNELS):
            raise ValueError(f"images[{number}] has shape {tuple(image.shape)}; give (C, H, W)")
    for number, corners in enumerate(boxes):
        if not isinstance(corners, torch.Tensor):
            raise TypeError(f"boxes[{number}] is a {type(corners).__name__}; give an (N, 4) tensor of pixel corners")
        if corners.numel() and (corners.ndim != 2 or corners.shape[1] != 4):
            raise ValueError(f"boxes[{number}] has shape {tuple(corners.shape)}; give (N, 4): x0, y0, x1, y1 in pixels")
        if corners.numel() and corners.max() <= 1:
            raise ValueError(f"boxes[{number}] has no corner beyond 1; give pixels, not shares of the image")


def _listed(labels: Any) -> list[Label]:
    """Labels of a list, a tensor or an array as plain values."""
    return [plain_label(label) for label in (labels.tolist() if hasattr(labels, "tolist") else labels)]


def _to_numpy(image: torch.Tensor) -> np.ndarray:
    """``(H, W, C)`` on the CPU."""
    return image.detach().cpu().permute(1, 2, 0).numpy()
